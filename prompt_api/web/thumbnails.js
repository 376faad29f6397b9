/** Small copies of pictures for the strip. A worker makes them, so that the page stays quick while many are opened. */

import { openPicture, wantsPreview } from "./picture.js";
import { WorkerCalls } from "./worker-calls.js";

const LONGEST_SIDE = 192;
const HEAD_BYTES = 48;
const JPEG = { type: "image/jpeg", quality: 0.75 };
const CODE = "not-looked-at";

/**
 * What the strip shows of a picture before it is opened.
 * @typedef {{size: {width: number, height: number}|null, thumbnail: Blob|null}} Look both are null for a picture that
 *   the service has to show; they come when it is opened
 */

/** The whole picture with a long side of 192 pixels, as JPEG. @param {ImageBitmap} bitmap @returns {Promise<Blob>} */
export async function thumbnailOf(bitmap) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob(JPEG);
}

/** @param {File} file @returns {Promise<Look>} @throws {Problem} `unreadable` */
export async function lookAt(file) {
  if (wantsPreview(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()))) return { size: null, thumbnail: null };
  const { width, height, bitmap } = await openPicture(file);
  try {
    return { size: { width, height }, thumbnail: await thumbnailOf(bitmap) };
  } finally {
    bitmap.close();
  }
}

/** Looks at files in a worker. The worker starts with the first file and ends with `close`. */
export class Looking {
  #calls = null;

  /** @param {File} file @returns {Promise<Look>} @throws {Problem} `unreadable` */
  async at(file) {
    const url = new URL("thumbnail-worker.js", import.meta.url);
    this.#calls ??= new WorkerCalls(new Worker(url, { type: "module", name: "thumbnails" }), CODE);
    try {
      return await this.#calls.ask("lookAt", [file]);
    } catch (error) {
      // The worker could not be loaded or has failed, so the page looks itself.
      if (error.code !== CODE) throw error;
      return lookAt(file);
    }
  }

  close() {
    this.#calls?.end("all files were looked at");
    this.#calls = null;
  }
}
