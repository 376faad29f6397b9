/**
 * Masks as the places where they start and end, and what can be done with them: join, cut away, measure.
 *
 * The place of pixel (x, y) is x * height + y. Even entries are the first pixel of a run of mask, odd entries the first
 * pixel after it. All entries differ and rise. A change copies what it does not touch and reads only the entries near it,
 * so a mask of 50 megapixels is changed as fast as a small one.
 *
 * @typedef {Uint32Array} Edges
 * @typedef {[number, number]} Size [height, width] in pixels of the picture
 */

import { decodeRuns, encodeRuns } from "./rle.js";

/** @type {Edges} */
export const EMPTY = new Uint32Array(0);

const known = new WeakMap();

/**
 * The edges of a mask that the page keeps. They are computed once.
 * @param {{size: Size, counts: string}} rle
 * @returns {Edges} not to be changed
 * @throws {RangeError} the string is damaged, or the runs do not add up to the size
 */
export function edgesOf(rle) {
  let edges = known.get(rle);
  if (!edges) {
    const [height, width] = rle.size;
    known.set(rle, (edges = edgesOfRuns(decodeRuns(rle.counts), height * width)));
  }
  return edges;
}

/**
 * @param {ArrayLike<number>} runs background, mask, background, … Runs of length 0 are allowed.
 * @param {number} pixels height * width
 * @returns {Edges}
 * @throws {RangeError} a run is negative or no whole number, or the runs do not add up to `pixels`
 */
export function edgesOfRuns(runs, pixels) {
  const edges = new Uint32Array(runs.length);
  let count = 0;
  let place = 0;
  for (let i = 0; i < runs.length; i++) {
    const run = runs[i];
    if (!(run >= 0 && run <= pixels - place && Number.isInteger(run))) throw new RangeError("the runs do not fit the size");
    if (i % 2 === 1 && run > 0) {
      // A run of background of length 0 does not part two runs of mask.
      if (count > 0 && edges[count - 1] === place) count--;
      else edges[count++] = place;
      edges[count++] = place + run;
    }
    place += run;
  }
  if (place !== pixels) throw new RangeError("the runs do not fit the size");
  return edges.slice(0, count);
}

/**
 * @param {Edges} edges
 * @param {number} pixels height * width
 * @returns {Uint32Array} run lengths: background, mask, background, …
 */
export function runsOf(edges, pixels) {
  const runs = new Uint32Array(edges.length + 1);
  let before = 0;
  edges.forEach((place, index) => {
    runs[index] = place - before;
    before = place;
  });
  runs[edges.length] = pixels - before;
  // A mask that covers the last pixel ends with its own run.
  return before === pixels && edges.length > 0 ? runs.subarray(0, edges.length) : runs;
}

/** The pixels of either. @param {Edges} edges @param {Edges} patch a small one is added fastest @returns {Edges} */
export function united(edges, patch) {
  return combined(edges, patch, (inside, inPatch) => inside | inPatch);
}

/** The pixels of `edges` that are not in `patch`. @param {Edges} edges @param {Edges} patch @returns {Edges} */
export function without(edges, patch) {
  return combined(edges, patch, (inside, inPatch) => inside & ~inPatch);
}

/** The number of pixels. @param {Edges} edges */
export function areaOf(edges) {
  let area = 0;
  for (let i = 0; i < edges.length; i += 2) area += edges[i + 1] - edges[i];
  return area;
}

/**
 * Whether two masks are of the same object: their IoU is over 0.5.
 * @param {import("./prompts.js").Mask} one
 * @param {import("./prompts.js").Mask} other of the same picture
 */
export function isSameObject(one, other) {
  const [smaller, larger] = one.area < other.area ? [one, other] : [other, one];
  if (smaller.area * 2 <= larger.area || !doTouch(one.bbox, other.bbox)) return false;
  const alone = areaOf(without(edgesOf(smaller.rle), edgesOf(larger.rle)));
  const shared = smaller.area - alone;
  return shared * 2 > larger.area + alone;
}

/** [x, y, width, height] of the pixels; all 0 for an empty mask. @param {Edges} edges @param {number} height */
export function boxOf(edges, height) {
  if (edges.length === 0) return [0, 0, 0, 0];
  const left = Math.floor(edges[0] / height);
  const right = Math.floor((edges[edges.length - 1] - 1) / height);
  let [top, bottom] = [height, 0];
  for (let i = 0; i < edges.length; i += 2) {
    const [column, last] = [Math.floor(edges[i] / height), Math.floor((edges[i + 1] - 1) / height)];
    // A run that goes on in the next column covers the bottom of one and the top of the other.
    top = column === last ? Math.min(top, edges[i] % height) : 0;
    bottom = column === last ? Math.max(bottom, ((edges[i + 1] - 1) % height) + 1) : height;
  }
  return [left, top, right + 1 - left, bottom - top];
}

/** Whether the mask covers a place. @param {Edges} edges @param {number} place */
export function covers(edges, place) {
  return firstAfter(edges, place) % 2 === 1;
}

/**
 * The mask as the page keeps it. No model made it, so it has no score and no token.
 * @param {Edges} edges
 * @param {Size} size
 * @returns {import("./prompts.js").Mask}
 */
export function maskFrom(edges, size) {
  const counts = encodeRuns(runsOf(edges, size[0] * size[1]));
  return { score: null, area: areaOf(edges), bbox: boxOf(edges, size[0]), rle: { size, counts }, mask_token: null };
}

function doTouch([x, y, width, height], [left, top, across, down]) {
  return x < left + across && left < x + width && y < top + down && top < y + height;
}

function combined(edges, patch, rule) {
  if (patch.length === 0) return edges;
  const from = firstAfter(edges, patch[0] - 1);
  const to = firstAfter(edges, patch[patch.length - 1]);
  const between = new Uint32Array(to - from + patch.length);
  let count = 0;
  let [inside, inPatch] = [from & 1, 0];
  let last = inside;
  for (let i = from, j = 0; i < to || j < patch.length; ) {
    const place = Math.min(i < to ? edges[i] : Infinity, j < patch.length ? patch[j] : Infinity);
    if (i < to && edges[i] === place) [inside, i] = [inside ^ 1, i + 1];
    if (j < patch.length && patch[j] === place) [inPatch, j] = [inPatch ^ 1, j + 1];
    const now = rule(inside, inPatch);
    if (now !== last) between[count++] = place;
    last = now;
  }
  const result = new Uint32Array(from + count + edges.length - to);
  result.set(edges.subarray(0, from));
  result.set(between.subarray(0, count), from);
  result.set(edges.subarray(to), from + count);
  return result;
}

/** The index of the first entry beyond `place`. */
function firstAfter(edges, place) {
  let [low, high] = [0, edges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}
