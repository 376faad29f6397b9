/** A ZIP archive of uncompressed files. Format: PKWARE APPNOTE 6.3. */

import { crc32 } from "./crc32.js";

const VERSION = 20;
const UTF8_NAMES = 0x0800;

/**
 * @param {{name: string, bytes: Uint8Array}[]} files names are paths with "/" and must differ
 * @param {Date} date written as the time of every file
 * @returns {Blob}
 */
export function zip(files, date) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    // The fields that the local header and the directory share, in their order.
    const shared = [
      [2, VERSION],
      [2, UTF8_NAMES],
      [2, 0],
      [2, dosTime(date)],
      [2, dosDate(date)],
      [4, crc32(bytes)],
      [4, bytes.length],
      [4, bytes.length],
      [2, path.length],
      [2, 0],
    ];
    const local = record([4, 0x04034b50], ...shared);
    directory.push(record([4, 0x02014b50], [2, VERSION], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), path);
    parts.push(local, path, bytes);
    offset += local.length + path.length + bytes.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const count = [2, files.length];
  const end = record([4, 0x06054b50], [2, 0], [2, 0], count, count, [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
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
