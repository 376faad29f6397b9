/**
 * Chooses the part of a large picture that is encoded on its own, because the encoder sees the whole picture less finely
 * than the person does. Pure functions.
 *
 * @typedef {[number, number, number, number]} Region x0, y0, x1, y1 in whole pixels of the upright picture, half open,
 *   as the service names it
 * @typedef {{window: {x: number, y: number, width: number, height: number}, density: number}} Visible what a person sees:
 *   the part of the picture's plane in the frame, in pixels of the picture; device pixels for each of these
 */

/** Pixels along the longer side of what the encoder sees. */
export const ENCODER_SIDE = 1024;

/** The service refuses regions with a shorter side. */
const LEAST_SIDE = 16;

/**
 * Sides of regions, in pixels: 512, 768, 1024, 1536, … Every second one is also a side of `prompt_api/service/lattice.py`,
 * and every second place along an axis is one there, so the page may share regions with other clients.
 */
const SMALLEST = 512;

/** Places of the lattice for each side of a region. */
const STEPS = 4;

/** How far a visible part may fill a region, so that it lies inside wherever its middle is. */
const FILLED = 1 - 1 / STEPS;

/** A region whose pixels are not this much finer than those of the whole picture is not worth an encoding. */
const GAIN = 1.5;

/**
 * The region for what is visible, or null if the whole picture does as well.
 *
 * Sizes and places lie on a lattice, so that people who look at the same thing share a region. A region in `known` is
 * taken again as long as it shows everything visible, and is less than twice as large as needed.
 * @param {{width: number, height: number}} picture
 * @param {Visible} visible
 * @param {Region[]} known the first one that does is taken
 * @returns {Region|null}
 */
export function chooseRegion({ width, height }, { window, density }, known = []) {
  const longest = Math.max(width, height);
  // Where the screen shows fewer pixels than the encoder sees, the person cannot point at anything smaller.
  if (longest <= ENCODER_SIDE || Math.min(width, height) < LEAST_SIDE || density * longest <= ENCODER_SIDE) return null;
  const [left, right] = clipped(window.x, window.width, width);
  const [top, bottom] = clipped(window.y, window.height, height);
  if (right <= left || bottom <= top) return null;
  const seen = Math.max(right - left, bottom - top);
  const side = sideFor(seen);
  if (side * GAIN > longest) return null;
  const shows = ([x0, y0, x1, y1]) => x0 <= left && y0 <= top && x1 >= right && y1 >= bottom;
  const kept = known.find((region) => longSide(region) < 2 * side && shows(region));
  if (kept) return kept;
  const [x0, x1] = placed((left + right) / 2, side, width);
  const [y0, y1] = placed((top + bottom) / 2, side, height);
  return [x0, y0, x1, y1];
}

/** True if all points and the box of a prompt lie in the region. */
export function holds([x0, y0, x1, y1], { points, box }) {
  const corners = box ? [{ x: box[0], y: box[1] }, { x: box[2], y: box[3] }] : [];
  return [...points, ...corners].every(({ x, y }) => x >= x0 && y >= y0 && x <= x1 && y <= y1);
}

/** True if a mask ends where the region does, and not where the picture does: perhaps the object goes on there. */
export function isCut([x0, y0, x1, y1], [x, y, width, height], size) {
  if (width === 0 || height === 0) return false;
  return (
    (x0 > 0 && x <= x0) ||
    (y0 > 0 && y <= y0) ||
    (x1 < size.width && x + width >= x1) ||
    (y1 < size.height && y + height >= y1)
  );
}

/** True if a region shows clearly more than another one, or than the whole picture if `other` is null. */
export function isFiner(region, other) {
  return other === null || longSide(region) * GAIN <= longSide(other);
}

/** @param {Region|null} one @param {Region|null} other */
export function isSame(one, other) {
  return one === other || (one !== null && other !== null && one.every((side, index) => side === other[index]));
}

function longSide([x0, y0, x1, y1]) {
  return Math.max(x1 - x0, y1 - y0);
}

function clipped(start, length, whole) {
  return [Math.max(0, start), Math.min(whole, start + length)];
}

/** The smallest side of a region that has room for `seen` pixels wherever they lie. */
function sideFor(seen) {
  let side = SMALLEST;
  while (side * FILLED < seen) side *= side % 3 === 0 ? 4 / 3 : 3 / 2;
  return side;
}

/** Where a region of `side` pixels begins and ends along one axis of `whole` pixels. */
function placed(middle, side, whole) {
  if (side >= whole) return [0, whole];
  const step = side / STEPS;
  const start = Math.min(Math.max(0, Math.round((middle - side / 2) / step) * step), whole - side);
  return [start, start + side];
}
