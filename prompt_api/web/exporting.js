/** Has kept objects written as a file, and saves it. */

import { exported } from "./export-formats.js";
import { WorkerCalls } from "./worker-calls.js";

// It starts with the page. Later the service may be away, and then a worker cannot be loaded.
const worker = new Worker(new URL("export-worker.js", import.meta.url), { type: "module", name: "export" });
const calls = new WorkerCalls(worker, "not-exported");

/**
 * Returns what `exported` does. The worker writes the file, so the page stays quick however many parts the masks have.
 * @param {string} format
 * @param {{name: string, width: number, height: number, objects: object[]}[]} pictures one without objects is left out
 * @param {Date} date
 * @returns {Promise<{name: string, blob: Blob}>}
 */
export function exportAs(format, pictures, date) {
  // A worker that has failed must not keep anybody from saving their work.
  return calls.ask("exported", [format, pictures, date]).catch(() => exported(format, pictures, date));
}

/** Hands a file to the browser to save. */
export function save({ name, blob }) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  // The browser holds the blob itself when the click's task has ended.
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
