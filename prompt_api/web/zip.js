/** A ZIP archive of uncompressed files, file by file. Format: PKWARE APPNOTE 6.3. */

import { crc32 } from "./crc32.js";
import { Problem } from "./problems.js";

const VERSION = 20;
const UTF8_NAMES = 0x0800;
const MOST_FILES = 0xffff;
const MOST_BYTES = 0xffffffff;

export class Archive {
  #stamp;
  #parts = [];
  #directory = [];
  #offset = 0;

  /** @param {Date} date written as the time of every file */
  constructor(date) {
    this.#stamp = [
      [2, dosTime(date)],
      [2, dosDate(date)],
    ];
  }

  /**
   * @param {string} name a path with "/"; the names must differ
   * @param {Blob} content
   * @throws {Problem} `export-too-large`
   */
  async add(name, content) {
    const path = new TextEncoder().encode(name);
    // The fields that the local header and the directory share, in their order.
    const shared = [
      [2, VERSION],
      [2, UTF8_NAMES],
      [2, 0],
      ...this.#stamp,
      [4, await checksum(content)],
      [4, content.size],
      [4, content.size],
      [2, path.length],
      [2, 0],
    ];
    const local = record([4, 0x04034b50], ...shared);
    const entry = record([4, 0x02014b50], [2, VERSION], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, this.#offset]);
    this.#directory.push(entry, path);
    this.#parts.push(local, path, content);
    this.#offset += local.length + path.length + content.size;
    if (this.#directory.length / 2 > MOST_FILES || this.#offset > MOST_BYTES) throw new Problem("export-too-large");
  }

  /** @returns {Blob} */
  finish() {
    const length = this.#directory.reduce((sum, part) => sum + part.length, 0);
    const count = [2, this.#directory.length / 2];
    const end = record([4, 0x06054b50], [2, 0], [2, 0], count, count, [4, length], [4, this.#offset], [2, 0]);
    return new Blob([...this.#parts, ...this.#directory, end], { type: "application/zip" });
  }
}

/** Reads the content piece by piece, so that a large file is never in memory as a whole. */
async function checksum(content) {
  const piece = 1 << 22;
  let value = 0;
  for (let at = 0; at < content.size; at += piece) {
    value = crc32(new Uint8Array(await content.slice(at, at + piece).arrayBuffer()), value);
  }
  return value;
}

/** Returns little-endian fields of 2 or 4 bytes, one after the other. */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

function dosTime(date) {
  return (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
}

function dosDate(date) {
  return ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
}
