/** Opens a local file as an upright picture: small enough to draw fast, or sharp enough to zoom into. */

import { remainingOrientation } from "./exif.js";
import { Problem } from "./problems.js";

const LONGEST_SIDE = 2048;
/** About 100 MB of memory. */
const MOST_PIXELS = 24_000_000;

/**
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number, bitmap: ImageBitmap}>} width and height of the upright original;
 *   the long side of the bitmap is at most 2048
 * @throws {Problem} `unreadable`
 */
export async function openPicture(file) {
  const [bitmap, orientation] = await decode(file);
  const { width, height } = bitmap;
  const small = await upright(await reduced(bitmap, LONGEST_SIDE / Math.max(width, height)), orientation);
  return { ...(swapsAxes(orientation) ? { width: height, height: width } : { width, height }), bitmap: small };
}

/** Opens the same picture with all its pixels, or reduced to 24 million if it has more. */
export async function openSharp(file) {
  const [bitmap, orientation] = await decode(file);
  const most = Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height));
  return upright(await reduced(bitmap, most), orientation);
}

/** Returns the pixels as the browser gives them, and the EXIF orientation that it did not apply. */
async function decode(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    return [bitmap, await remainingOrientation(file)];
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

/** Applies an EXIF orientation, so that the picture is upright. */
async function upright(bitmap, orientation) {
  if (orientation === 1) return bitmap;
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(...(swapsAxes(orientation) ? [height, width] : [width, height]));
  const context = canvas.getContext("2d");
  context.setTransform(...UNDONE[orientation](width, height));
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.transferToImageBitmap();
}

function swapsAxes(orientation) {
  return orientation >= 5;
}

/** For each EXIF orientation, the matrix (a, b, c, d, e, f) that moves stored pixels to their upright place. */
const UNDONE = {
  2: (width) => [-1, 0, 0, 1, width, 0],
  3: (width, height) => [-1, 0, 0, -1, width, height],
  4: (_width, height) => [1, 0, 0, -1, 0, height],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (_width, height) => [0, 1, -1, 0, height, 0],
  7: (width, height) => [0, -1, -1, 0, height, width],
  8: (width) => [0, -1, 1, 0, 0, width],
};
