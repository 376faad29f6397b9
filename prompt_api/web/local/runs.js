/** The vertical runs of a mask. Area, box and COCO run-length encoding are computed from them. */

import { encodeRuns } from "../rle.js";

/**
 * The maximal vertical runs of a mask, ordered by column, then from top to bottom: run k covers the pixels (x[k], y)
 * with top[k] <= y < bottom[k]. Runs of one column never touch.
 * @typedef {{size: [number, number], x: Int32Array, top: Int32Array, bottom: Int32Array}} ColumnRuns
 */

/**
 * The runs between changes.
 * @param {Float64Array} changes sorted, x * (height + 1) + y for each place where the mask changes between rows y - 1
 *   and y; a place that occurs twice does not change
 * @param {[number, number]} size [height, width]
 * @returns {ColumnRuns}
 */
export function runsBetween(changes, size) {
  const places = size[0] + 1;
  const ends = oddOnes(changes);
  const count = ends.length / 2;
  const x = new Int32Array(count);
  const top = new Int32Array(count);
  const bottom = new Int32Array(count);
  for (let k = 0; k < count; k++) {
    x[k] = Math.floor(ends[2 * k] / places);
    top[k] = ends[2 * k] - x[k] * places;
    bottom[k] = ends[2 * k + 1] - x[k] * places;
  }
  return { size, x, top, bottom };
}

/**
 * The mask over the whole image that has `runs` in a part of it, and nothing around it.
 * @param {ColumnRuns} runs of the part's size
 * @param {[number, number]} corner [x, y] of the part's first pixel in the image
 * @param {[number, number]} size [height, width] of the image
 * @returns {ColumnRuns}
 */
export function placed(runs, [x, y], size) {
  return { size, x: runs.x.map((at) => at + x), top: runs.top.map((at) => at + y), bottom: runs.bottom.map((at) => at + y) };
}

/** Pixels covered. */
export function areaOf({ top, bottom }) {
  return bottom.reduce((sum, end, k) => sum + end - top[k], 0);
}

/** [x, y, width, height] of the pixels covered; all 0 for an empty mask. */
export function boxOf({ x, top, bottom }) {
  if (x.length === 0) return [0, 0, 0, 0];
  const least = top.reduce((a, b) => Math.min(a, b));
  const most = bottom.reduce((a, b) => Math.max(a, b));
  return [x[0], least, x[x.length - 1] + 1 - x[0], most - least];
}

/**
 * COCO compressed run-length encoding, as pycocotools writes it.
 * @returns {{size: [number, number], counts: string}}
 */
export function encodeRle({ size, x, top, bottom }) {
  const [height, width] = size;
  const ends = [];
  for (let k = 0; k < x.length; k++) {
    const start = x[k] * height + top[k];
    // The run before goes on at the top of this column.
    if (ends.length > 0 && ends[ends.length - 1] === start) ends.pop();
    else ends.push(start);
    ends.push(x[k] * height + bottom[k]);
  }
  if (ends[ends.length - 1] !== height * width) ends.push(height * width);
  return { size, counts: encodeRuns(ends.map((end, k) => end - (k > 0 ? ends[k - 1] : 0))) };
}

/** The values that occur an odd number of times in a sorted array, once each. */
function oddOnes(ordered) {
  const kept = [];
  for (const value of ordered) {
    if (kept.length > 0 && kept[kept.length - 1] === value) kept.pop();
    else kept.push(value);
  }
  return kept;
}
