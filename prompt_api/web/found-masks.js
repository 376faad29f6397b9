/** The masks that everything mode has found on a picture: which are left to keep, and which one is at a place. */

import { covers, edgesOf } from "./mask-edges.js";
import { maskOf } from "./objects.js";

/** The most masks that are shown. The best come first. */
export const MOST_MASKS = 3000;
/** The most characters of their run lengths. A mask of a photo has some hundred to some thousand. */
export const MOST_CHARACTERS = 4_000_000;

/**
 * The masks of an answer as the page keeps them, as many as there is room for.
 * @param {object[]} records the masks of an everything job
 * @param {Map<string, import("./prompts.js").Mask>} known masks of an earlier answer, by their run lengths: they stay the
 *   same objects, so nothing that was computed for them is computed again
 * @param {{masks: number, characters: number}} room
 * @returns {Map<string, import("./prompts.js").Mask>} by run lengths, in the order of the answer
 */
export function foundMasks(records, known = new Map(), room = { masks: MOST_MASKS, characters: MOST_CHARACTERS }) {
  const masks = new Map();
  let characters = 0;
  for (const { rle, area, bbox, predicted_iou: score } of records) {
    characters += rle.counts.length;
    if (masks.size >= room.masks || characters > room.characters) break;
    if (area === 0) continue;
    masks.set(rle.counts, known.get(rle.counts) ?? { score, area, bbox, rle, mask_token: null });
  }
  return masks;
}

/**
 * Those that are not kept yet, the smallest first.
 * @param {Map<string, import("./prompts.js").Mask>} masks
 * @param {import("./objects.js").Kept[]} objects
 */
export function leftOf(masks, objects) {
  const kept = new Set(objects.map((object) => maskOf(object)?.rle.counts));
  return [...masks.values()].filter(({ rle }) => !kept.has(rle.counts)).sort((one, other) => one.area - other.area);
}

/**
 * The smallest mask at a place, or null.
 * @param {import("./prompts.js").Mask[]} masks the smallest first
 * @param {{x: number, y: number}} place in pixels of the picture
 */
export function maskAt(masks, place) {
  const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
  const isThere = ({ bbox: [left, top, width, height], rle }) => {
    if (x < left || y < top || x >= left + width || y >= top + height) return false;
    return covers(edgesOf(rle), x * rle.size[0] + y);
  };
  return masks.find(isThere) ?? null;
}

/**
 * The masks in the order of reading: by the row of their upper edge in tenths of the picture, then from left to right.
 * @param {import("./prompts.js").Mask[]} masks
 * @param {number} height of the picture
 */
export function inReadingOrder(masks, height) {
  const row = ({ bbox }) => Math.floor((bbox[1] / height) * 10);
  return [...masks].sort((one, other) => row(one) - row(other) || one.bbox[0] - other.bbox[0] || other.area - one.area);
}
