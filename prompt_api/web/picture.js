/** Opens a local file as an upright picture: small enough to draw fast, or sharp enough to zoom into. */

import * as api from "./api.js";
import { ensureEncoded } from "./encoding.js";
import { remainingOrientation } from "./exif.js";
import { Problem } from "./problems.js";

const LONGEST_SIDE = 2048;
const HEAD_BYTES = 48;
const JPEG_END = new Uint8Array([0xff, 0xd9]);
/** About 100 MB of memory. */
const MOST_PIXELS = 24_000_000;

/**
 * Opens a picture that every browser shows. One that some do not show, or show too dark, comes from the service: it is
 * uploaded and encoded, and the preview that a worker made of it is opened.
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number, bitmap: ImageBitmap}>} width and height of the upright original;
 *   the long side of the bitmap is at most 2048
 * @throws {Problem} `unreadable`; that of the service, if it has to show the picture
 */
export async function openPicture(file) {
  if (wantsPreview(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()))) return openPreview(file);
  const [bitmap, orientation] = await decode(file);
  const { width, height } = bitmap;
  const small = await upright(await reduced(bitmap, LONGEST_SIDE / Math.max(width, height)), orientation);
  return { ...(swapsAxes(orientation) ? { width: height, height: width } : { width, height }), bitmap: small };
}

/**
 * Opens the same picture with all its pixels, or reduced to 24 million if it has more. Of a picture that the service
 * shows there is only the preview.
 */
export async function openSharp(file) {
  if (wantsPreview(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()))) return (await openPreview(file)).bitmap;
  const [bitmap, orientation] = await decode(file);
  const most = Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height));
  return upright(await reduced(bitmap, most), orientation);
}

/**
 * True for the files of which the service has a preview: TIFF, HEIC, and grey PNG of 16 bits.
 * @param {Uint8Array} head the first bytes of the file
 */
export function wantsPreview(head) {
  const text = String.fromCharCode(...head);
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return true;
  if (text.startsWith("\x89PNG") && text.slice(12, 16) === "IHDR") return head[24] === 16 && head[25] === 0;
  return text.slice(4, 8) === "ftyp" && /hei[cxms]/.test(text.slice(8));
}

async function openPreview(file) {
  const { signal } = new AbortController();
  const { image } = await ensureEncoded(api, file, { signal, report: () => {} });
  const bitmap = await createImageBitmap(await api.getPreview(image.image_id, { signal }));
  return { width: image.width, height: image.height, bitmap };
}

/** Returns the pixels as the browser gives them, and the EXIF orientation that it did not apply. */
async function decode(file) {
  try {
    return [await bitmapOf(file), await remainingOrientation(file)];
  } catch {
    throw new Problem("unreadable");
  }
}

/** An end marker is missing in some JPEGs whose picture is whole. Browsers show them in a page, but make no bitmap. */
async function bitmapOf(file) {
  const options = { imageOrientation: "from-image" };
  try {
    return await createImageBitmap(file, options);
  } catch {
    return createImageBitmap(new Blob([file, JPEG_END]), options);
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
