/** Has kept objects written as a file, and saves it; has files with annotations read. */

import { exported } from "./export-formats.js";
import { readAnnotations } from "./import-formats.js";
import { Problem } from "./problems.js";
import { WorkerCalls } from "./worker-calls.js";

// It starts with the page. Later the service may be away, and then a worker cannot be loaded.
const worker = new Worker(new URL("export-worker.js", import.meta.url), { type: "module", name: "export" });
const calls = new WorkerCalls(worker, "not-exported");

/**
 * Returns what `exported` does. The worker writes the file, so the page stays quick however many parts the masks have.
 * It is given one picture after the other, and has only that one in memory.
 * @param {string} format
 * @param {{name: string, width: number, height: number, objects: object[]}[]} pictures one without objects is left out
 * @param {Date} date
 * @param {import("./export-formats.js").Options} options
 * @param {(share: number) => void} report told which share (0-1) of the pictures is written
 * @returns {Promise<{name: string, blob: Blob}>}
 * @throws {Problem} `export-too-large`
 */
export async function exportAs(format, pictures, date, options, report) {
  try {
    return await exportBeside(format, pictures, date, options, report);
  } catch (error) {
    if (error instanceof Problem && error.code === "export-too-large") throw error;
    // A worker that has failed must not keep anybody from saving their work.
    return exported(format, pictures, date, options);
  }
}

/** Returns what `readAnnotations` does, from the worker. */
export function readBeside(files, pictures) {
  return calls.ask("readAnnotations", [files, pictures]).catch(() => readAnnotations(files, pictures));
}

/** Hands a file to the browser to save. */
export function save({ name, blob }) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  // The browser holds the blob itself when the click's task has ended.
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function exportBeside(format, pictures, date, options, report) {
  const number = await calls.ask("begin", [format, date, options]);
  const written = pictures.filter(({ objects }) => objects.length > 0);
  try {
    for (const [index, picture] of written.entries()) {
      report(index / written.length);
      await calls.ask("add", [number, picture]);
    }
    return await calls.ask("finish", [number]);
  } catch (error) {
    calls.ask("forget", [number]).catch(() => {});
    throw error;
  }
}
