/** Opens a local file as an upright picture: small enough to draw fast, or sharp enough to zoom into. */

import { Problem } from "./problems.js";

const LONGEST_SIDE = 2048;
/** About 100 MB of memory. */
const MOST_PIXELS = 24_000_000;

/**
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number, bitmap: ImageBitmap}>} width and height are the upright
 *   original's; the bitmap is at most 2048 on its long side
 * @throws {Problem} `unreadable`
 */
export async function openPicture(file) {
  const bitmap = await decode(file);
  const { width, height } = bitmap;
  return { width, height, bitmap: await reduced(bitmap, LONGEST_SIDE / Math.max(width, height)) };
}

/** The same picture in all its pixels, or in 24 million if it has more. */
export async function openSharp(file) {
  const bitmap = await decode(file);
  return reduced(bitmap, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
}

async function decode(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Problem("unreadable");
  }
}

async function reduced(bitmap, scale) {
  if (scale >= 1) return bitmap;
  const small = await createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width * scale)),
    resizeHeight: Math.max(1, Math.round(bitmap.height * scale)),
    resizeQuality: "high",
  });
  bitmap.close();
  return small;
}
