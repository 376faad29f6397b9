/** Adds points to simplified rings until no ring crosses itself or another, and all lie inside one another as before. */

import { divide, worstOf, wrapped } from "./spans.js";

/** How often a span that crosses something gets one more point. Then it gets all its points: it is the exact edge. */
const MOST_HALVINGS = 8;

/** Least side in pixels of the cells in which lines are looked for. */
const LEAST_SIDE = 8;
const ROW = 2 ** 20;

/**
 * Marks the points that more than one ring has, and the points before and after each of them. If they are all kept,
 * rings that touch go on to touch only there, in the same order.
 * @param {import("./rings.js").Rings} rings
 * @param {Uint8Array} kept
 */
export function keepTouchingCorners({ x, y, starts }, kept) {
  const first = new Map();
  for (let ring = 0; ring + 1 < starts.length; ring++) {
    const [start, stop] = [starts[ring], starts[ring + 1]];
    const withNeighbours = (point, from, to) => {
      kept[point] = kept[point === from ? to - 1 : point - 1] = kept[point + 1 === to ? from : point + 1] = 1;
    };
    for (let point = start; point < stop; point++) {
      const place = x[point] * 2 ** 20 + y[point];
      const other = first.get(place);
      if (other === undefined) first.set(place, [point, start, stop]);
      else {
        withNeighbours(point, start, stop);
        withNeighbours(...other);
      }
    }
  }
}

/**
 * Marks as many more points in `kept` as are needed for valid polygons: rings that are simple, with at least three
 * points and the same direction as before. None crosses another. Each is inside the same rings as before.
 * @param {import("./rings.js").Rings} rings exact rings of a mask
 * @param {Uint8Array} kept
 * @param {number} square that of the tolerance, which all rings keep
 */
export function untangle(rings, kept, square) {
  const checked = new Int32Array(kept.length).fill(-1);
  const turns = directions(rings);
  for (let halvings = 0; ; halvings++) {
    const spans = spansBetween(rings, kept);
    const fresh = spans.first.map((point, span) => (checked[point] === spans.last[span] ? 0 : 1));
    spans.first.forEach((point, span) => (checked[point] = spans.last[span]));
    const wrong = new Uint8Array(fresh.length);
    markCollapsed(rings, spans, turns, wrong);
    markCrossing(rings, spans, fresh, wrong);
    markPassedOver(rings, spans, fresh, wrong);
    let isDone = true;
    for (let span = 0; span < wrong.length; span++) {
      const [first, last, ring] = [spans.first[span], spans.last[span], spans.ring[span]];
      if (!wrong[span] || last - first < 2) continue;
      isDone = false;
      if (halvings >= MOST_HALVINGS) {
        kept.fill(1, first + 1, last);
        continue;
      }
      const [middle] = worstOf(rings, ring, first, last);
      kept[middle] = 1;
      divide(rings, ring, first, middle, square, kept);
      divide(rings, ring, middle, last, square, kept);
    }
    if (isDone) return;
  }
}

/** The spans between kept points; `stop` is the point that `last` stands for. */
function spansBetween(rings, kept) {
  const count = kept.reduce((sum, one) => sum + one, 0);
  const spans = Object.fromEntries(["first", "last", "stop", "ring"].map((name) => [name, new Int32Array(count)]));
  for (let ring = 0, span = 0; ring + 1 < rings.starts.length; ring++) {
    for (let point = rings.starts[ring]; point < rings.starts[ring + 1]; span++) {
      let next = point + 1;
      while (next < rings.starts[ring + 1] && !kept[next]) next++;
      spans.first[span] = point;
      spans.last[span] = next;
      spans.stop[span] = wrapped(rings, ring, next);
      spans.ring[span] = ring;
      point = next;
    }
  }
  return spans;
}

/** The sign of the area of each ring. */
function directions({ x, y, starts }) {
  return Array.from(starts.subarray(1), (stop, ring) => {
    let twice = 0;
    for (let point = starts[ring], before = stop - 1; point < stop; before = point++) {
      twice += x[before] * y[point] - y[before] * x[point];
    }
    return Math.sign(twice);
  });
}

/** Marks the spans of rings that have no area, or another direction than before. */
function markCollapsed({ x, y }, { first, stop, ring }, turns, wrong) {
  const twice = new Float64Array(turns.length);
  first.forEach((a, span) => (twice[ring[span]] += x[a] * y[stop[span]] - y[a] * x[stop[span]]));
  ring.forEach((number, span) => {
    if (Math.sign(twice[number]) !== turns[number]) wrong[span] = 1;
  });
}

/** Marks the spans whose line has a point in common with another line, except an end of both. */
function markCrossing(rings, spans, fresh, wrong) {
  const { first, last, stop } = spans;
  const isExact = (span) => last[span] - first[span] < 2;
  for (const inCell of linesByCell(rings, spans)) {
    if (!inCell.some((span) => fresh[span])) continue;
    for (let i = 1; i < inCell.length; i++) {
      for (let j = 0; j < i; j++) {
        const [one, other] = [inCell[i], inCell[j]];
        if (one === other || !(fresh[one] || fresh[other]) || (isExact(one) && isExact(other))) continue;
        if (meet(rings, first[one], stop[one], first[other], stop[other])) wrong[one] = wrong[other] = 1;
      }
    }
  }
}

/** For each cell of a grid, the lines that may reach into it. */
function linesByCell({ x, y }, { first, stop }) {
  const long = (span) => Math.max(Math.abs(x[stop[span]] - x[first[span]]), Math.abs(y[stop[span]] - y[first[span]]));
  const total = first.reduce((sum, _, span) => sum + long(span), 0);
  const side = Math.max(LEAST_SIDE, Math.floor(total / first.length));
  const cells = new Map();
  for (let span = 0; span < first.length; span++) {
    const pieces = Math.floor(long(span) / side) + 1;
    const at = (from, to, step) => from + Math.floor(((to - from) * step) / pieces);
    for (let piece = 0; piece < pieces; piece++) {
      const [left, right] = [piece, piece + 1].map((step) => at(x[first[span]], x[stop[span]], step));
      const [top, bottom] = [piece, piece + 1].map((step) => at(y[first[span]], y[stop[span]], step));
      for (let column = Math.floor(Math.min(left, right) / side); column * side <= Math.max(left, right) + 1; column++) {
        for (let row = Math.floor(Math.min(top, bottom) / side); row * side <= Math.max(top, bottom) + 1; row++) {
          const lines = cells.get(column * ROW + row);
          if (!lines) cells.set(column * ROW + row, [span]);
          else if (lines[lines.length - 1] !== span) lines.push(span);
        }
      }
    }
  }
  return cells.values();
}

/** Whether the lines a-b and c-d have a point in common that is not an end of both. */
function meet(rings, a, b, c, d) {
  const { x, y } = rings;
  if (Math.max(x[a], x[b]) < Math.min(x[c], x[d]) || Math.max(x[c], x[d]) < Math.min(x[a], x[b])) return false;
  if (Math.max(y[a], y[b]) < Math.min(y[c], y[d]) || Math.max(y[c], y[d]) < Math.min(y[a], y[b])) return false;
  const side = (from, to, point) => Math.sign(cross(rings, from, to, point));
  if (side(a, b, c) * side(a, b, d) > 0 || side(c, d, a) * side(c, d, b) > 0) return false;
  // Lines from one point have more in common only if they go in one direction.
  for (const [common, one, matching, other] of [[a, b, c, d], [a, b, d, c], [b, a, c, d], [b, a, d, c]]) {
    if (x[common] !== x[matching] || y[common] !== y[matching]) continue;
    const along = (x[one] - x[common]) * (x[other] - x[common]) + (y[one] - y[common]) * (y[other] - y[common]);
    if (cross(rings, common, one, other) !== 0 || along <= 0) return false;
  }
  return true;
}

function cross({ x, y }, from, to, point) {
  return (x[to] - x[from]) * (y[point] - y[from]) - (y[to] - y[from]) * (x[point] - x[from]);
}

/**
 * Marks the spans whose line passes another ring on the other side than the span itself. Such a ring would change from
 * inside to outside. As no lines cross, it is enough to look at one point of each ring: its first, or the middle of its
 * first side if the first point touches another ring.
 */
function markPassedOver(rings, { first, last, ring }, fresh, wrong) {
  const { x, y, starts } = rings;
  // Points have twice the coordinates, so that the middle of a side is a whole number.
  const points = Array.from(starts.subarray(0, -1), (start) => [2 * x[start], 2 * y[start]]);
  first.forEach((point, span) => {
    if (point !== starts[ring[span]] || last[span] !== point + 1) return;
    points[ring[span]] = [x[point] + x[point + 1], y[point] + y[point + 1]];
  });
  const order = Uint32Array.from(points.keys()).sort((a, b) => points[a][0] - points[b][0]);
  for (let span = 0; span < first.length; span++) {
    if (!fresh[span] || last[span] - first[span] < 2) continue;
    let [left, right] = [Infinity, -Infinity];
    for (let point = first[span]; point <= last[span]; point++) {
      const at = 2 * x[wrapped(rings, ring[span], point)];
      left = Math.min(left, at);
      right = Math.max(right, at);
    }
    for (let i = firstFrom(order, points, left); i < order.length && points[order[i]][0] <= right; i++) {
      if (order[i] === ring[span] || wrong[span]) continue;
      if (isBetween(rings, ring[span], first[span], last[span], points[order[i]])) wrong[span] = 1;
    }
  }
}

/** The first place in `order` of a point whose x is at least `left`. */
function firstFrom(order, points, left) {
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[order[middle]][0] < left) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether a point lies between a span and its line, by the even-odd rule. It has twice the coordinates. */
function isBetween(rings, ring, first, last, [px, py]) {
  const { x, y } = rings;
  let isInside = false;
  for (let point = first, before = wrapped(rings, ring, last); point <= last; point++) {
    const to = wrapped(rings, ring, point);
    const [ax, ay, bx, by] = [2 * x[before], 2 * y[before], 2 * x[to], 2 * y[to]];
    before = to;
    if (ay > py === by > py) continue;
    const side = (bx - ax) * (py - ay) - (px - ax) * (by - ay);
    if (by > ay ? side > 0 : side < 0) isInside = !isInside;
  }
  return isInside;
}
