/**
 * Where the bytes of a picture come from: a file that a person opened now, or one that the browser kept.
 *
 * @typedef {object} Source
 * @property {string} name
 * @property {string} folder "" if it was not opened with a folder
 * @property {number} bytes
 * @property {number} lastModified
 * @property {boolean} isMissing true after `open` found that the browser did not keep the file
 * @property {() => Promise<File>} open rejects with the Problem `file-missing`
 */

import { Problem } from "./problems.js";

/** @param {File} file @returns {Source} */
export function fromFile(file, folder = "") {
  const { name, size, lastModified } = file;
  return { name, folder, bytes: size, lastModified, isMissing: false, open: async () => file };
}

/**
 * @param {{name: string, folder: string, bytes: number, lastModified: number}} record
 * @param {() => Promise<File|null>} read
 * @returns {Source}
 */
export function fromSession({ name, folder, bytes, lastModified }, read) {
  const source = { name, folder: folder ?? "", bytes, lastModified, isMissing: false };
  source.open = async () => {
    const file = await read().catch(() => null);
    source.isMissing = !file;
    if (file) return file;
    throw new Problem("file-missing", { detail: `it is called ${name}` });
  };
  return source;
}

/** True if both are the same file: a file that was opened alone is also found in its folder. */
export function isSame(one, other) {
  const same = ["name", "bytes", "lastModified"].every((field) => one[field] === other[field]);
  return same && (one.folder === other.folder || !one.folder || !other.folder);
}
