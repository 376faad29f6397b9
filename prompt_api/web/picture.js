/** Opens a local file as an upright picture, kept small enough to draw fast. */

import { Problem } from "./problems.js";

const LONGEST_SIDE = 2048;

/**
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number, bitmap: ImageBitmap}>} width and height are the upright
 *   original's; the bitmap is at most 2048 on its long side
 * @throws {Problem} `unreadable`
 */
export async function openPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Problem("unreadable");
  }
  const { width, height } = bitmap;
  const scale = LONGEST_SIDE / Math.max(width, height);
  if (scale >= 1) return { width, height, bitmap };
  const small = await createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(width * scale)),
    resizeHeight: Math.max(1, Math.round(height * scale)),
    resizeQuality: "high",
  });
  bitmap.close();
  return { width, height, bitmap: small };
}
