/**
 * A mask as polygons along its pixels' edges, or within a tolerance of them. It gives the same polygons as the API.
 *
 * @typedef {import("./rings.js").Ring} Ring
 * @typedef {{outer: Ring, holes: Ring[]}} Polygon one 4-connected part; outer rings run clockwise on the screen, holes
 *   the other way
 */

import { columnRuns } from "./column-runs.js";
import { ringsOf } from "./rings.js";
import { divide } from "./spans.js";
import { keepTouchingCorners, untangle } from "./untangle.js";

/**
 * The parts of a mask, topmost first. No ring touches or crosses itself; two rings may touch at a corner.
 * @param {{rle: {size: [number, number], counts: string}}} mask
 * @param {number} tolerance pixels by which a ring may leave the mask's edge; 0 is the exact edge
 * @returns {Polygon[]}
 */
export function polygons({ rle }, tolerance = 0) {
  const runs = columnRuns(rle);
  if (runs.x.length === 0) return [];
  const rings = ringsOf(runs);
  const kept = tolerance > 0 ? neededPoints(rings, tolerance) : new Uint8Array(rings.x.length).fill(1);
  const found = new Map();
  rings.part.forEach((part, ring) => {
    const points = [];
    for (let point = rings.starts[ring]; point < rings.starts[ring + 1]; point++) {
      if (kept[point]) points.push([rings.x[point], rings.y[point]]);
    }
    if (part === ring) found.set(ring, { outer: points, holes: [] });
    else found.get(part).holes.push(points);
  });
  return [...found.values()];
}

/** All rings of polygons, without their order. @param {Polygon[]} found @returns {Ring[]} */
export function allRings(found) {
  return found.flatMap(({ outer, holes }) => [outer, ...holes]);
}

/** The area of a ring in square pixels. It is negative if the ring runs counterclockwise on the screen. @param {Ring} ring */
export function signedArea(ring) {
  let twice = 0;
  for (let i = 0, [px, py] = ring.at(-1); i < ring.length; [px, py] = ring[i++]) {
    twice += px * ring[i][1] - ring[i][0] * py;
  }
  return twice / 2;
}

/** Marks the points that the rings need. @returns {Uint8Array} */
function neededPoints(rings, tolerance) {
  const square = tolerance * tolerance;
  const kept = new Uint8Array(rings.x.length);
  keepTouchingCorners(rings, kept);
  for (let ring = 0; ring + 1 < rings.starts.length; ring++) {
    const [start, stop] = [rings.starts[ring], rings.starts[ring + 1]];
    kept[start] = kept[farthestFromStart(rings, start, stop)] = 1;
    for (let first = start, point = start + 1; point <= stop; point++) {
      if (point < stop && !kept[point]) continue;
      divide(rings, ring, first, point, square, kept);
      first = point;
    }
  }
  untangle(rings, kept, square);
  return kept;
}

/** The point of a ring that is farthest from its first; of several, the earliest. */
function farthestFromStart({ x, y }, start, stop) {
  let [farthest, most] = [start, 0];
  for (let point = start + 1; point < stop; point++) {
    const distance = (x[point] - x[start]) ** 2 + (y[point] - y[start]) ** 2;
    if (distance > most) [farthest, most] = [point, distance];
  }
  return farthest;
}
