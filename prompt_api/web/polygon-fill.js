/** Fills polygons: the pixels whose centres lie inside. */

import { EMPTY, united } from "./mask-edges.js";

/** Many more than any outline of a mask has. Beyond that, a file is damaged or meant to do harm. */
const MOST_CROSSINGS = 50_000_000;

/**
 * The pixels whose centres are inside of at least one polygon. Inside is where a way from outside crosses the polygon an
 * odd number of times, so a hole that is joined to its part by a cut of no width stays a hole.
 * @param {number[][]} polygons [x, y, x, y, …] each, in pixels of the picture; they may go beyond it
 * @param {import("./mask-edges.js").Size} size [height, width]
 * @returns {import("./mask-edges.js").Edges}
 * @throws {RangeError} a polygon has no area, or numbers that are none, or too many edges
 */
export function filled(polygons, size) {
  return polygons.reduce((edges, polygon) => united(edges, filledOne(polygon, size)), EMPTY);
}

function filledOne(polygon, [height, width]) {
  if (polygon.length < 6 || polygon.length % 2 !== 0) throw new RangeError("a polygon has three points at least");
  if (!polygon.every(Number.isFinite)) throw new RangeError("a polygon consists of numbers");
  const crossings = crossingsOf(polygon, height, width);
  const edges = new Uint32Array(crossings.length);
  let count = 0;
  for (let i = 0; i + 1 < crossings.length; i += 2) {
    const column = Math.floor(crossings[i] / (height + 1));
    const [start, end] = [crossings[i] - column, crossings[i + 1] - column];
    if (start === end) continue;
    // A run that reaches the end of a column may go on at the start of the next one.
    if (count > 0 && edges[count - 1] === start) count--;
    else edges[count++] = start;
    edges[count++] = end;
  }
  return edges.slice(0, count);
}

/**
 * Where the polygon crosses the vertical line through the centres of each column: sorted, column * (height + 1) + the
 * first row whose centre is not above the crossing. There are two or more of each column, or none.
 */
function crossingsOf(polygon, height, width) {
  const columns = (from, to) => {
    // Half-open, so that a corner on the line of a column counts once for the two edges that meet there.
    const first = Math.ceil(Math.min(from, to) - 0.5);
    const last = Math.ceil(Math.max(from, to) - 0.5) - 1;
    return [Math.max(0, first), Math.min(width - 1, last)];
  };
  let total = 0;
  eachEdge(polygon, (x0, _y0, x1) => {
    const [first, last] = columns(x0, x1);
    total += Math.max(0, last - first + 1);
  });
  if (total > MOST_CROSSINGS) throw new RangeError("the polygon has too many edges");
  const crossings = new Float64Array(total);
  let count = 0;
  eachEdge(polygon, (x0, y0, x1, y1) => {
    const [first, last] = columns(x0, x1);
    for (let column = first; column <= last; column++) {
      const y = y0 + ((column + 0.5 - x0) * (y1 - y0)) / (x1 - x0);
      crossings[count++] = column * (height + 1) + Math.min(height, Math.max(0, Math.ceil(y - 0.5)));
    }
  });
  return crossings.sort();
}

function eachEdge(polygon, tell) {
  for (let i = 0, before = polygon.length - 2; i < polygon.length; before = i, i += 2) {
    tell(polygon[before], polygon[before + 1], polygon[i], polygon[i + 1]);
  }
}
