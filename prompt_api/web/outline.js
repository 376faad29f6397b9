/**
 * Outlines of a mask as polygons along the edges of its pixels.
 *
 * Coordinates are pixels of the picture, with (0, 0) at the upper left corner of the first pixel. Rings are not
 * closed by a repeated point. Outer rings run clockwise on the screen, holes the other way.
 *
 * @typedef {[number, number][]} Ring
 */

import { rasterize } from "./rle.js";

const INSIDE = 1;
const TRACED = 2;

// Right, down, left, up. The mask is always on the right-hand side.
const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];
// For each direction, the corner of the pixel where its edge starts.
const STARTS = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
];

/**
 * The outlines of all parts and holes of a mask. Pixels that touch only at a corner belong to separate parts.
 * @param {ArrayLike<number>} runs as `decodeRuns` returns them
 * @param {[number, number]} size [height, width]
 * @param {[number, number, number, number]} bbox [x, y, width, height] of the mask; only its pixels are read
 * @returns {Ring[]}
 */
export function outlines(runs, size, [x, y, width, height]) {
  if (width === 0 || height === 0) return [];
  const grid = framedGrid(rasterize(runs, size, { x, y, width, height }, width, height), width, height);
  const rings = [];
  for (let column = 1; column <= width; column++) {
    for (let row = 1; row <= height; row++) {
      const at = column * grid.column + row;
      if (grid.cells[at] !== INSIDE || grid.cells[at - 1] & INSIDE) continue;
      rings.push(trace(grid, column, row).map(([a, b]) => [a + x - 1, b + y - 1]));
    }
  }
  return rings;
}

/**
 * Removes the points of a ring that lie within `tolerance` pixels of the line through the points that stay (Douglas,
 * Peucker 1973). Returns a ring unchanged if it would collapse.
 */
export function simplify(ring, tolerance) {
  let far = 0;
  for (let i = 1; i < ring.length; i++) {
    if (distance(ring[i], ring[0]) > distance(ring[far], ring[0])) far = i;
  }
  const closed = [...ring, ring[0]];
  const kept = new Uint8Array(closed.length);
  kept[0] = kept[far] = 1;
  const open = [
    [0, far],
    [far, closed.length - 1],
  ];
  while (open.length > 0) {
    const [from, to] = open.pop();
    let worst = from;
    let most = tolerance;
    for (let i = from + 1; i < to; i++) {
      const away = distanceToLine(closed[i], closed[from], closed[to]);
      if (away > most) [worst, most] = [i, away];
    }
    if (worst === from) continue;
    kept[worst] = 1;
    open.push([from, worst], [worst, to]);
  }
  const slim = ring.filter((_, i) => kept[i]);
  return slim.length < 3 || signedArea(slim) * signedArea(ring) <= 0 ? ring : slim;
}

/** The area of a ring in square pixels. It is negative if the ring runs counterclockwise on the screen. */
export function signedArea(ring) {
  let twice = 0;
  for (let i = 0, [px, py] = ring.at(-1); i < ring.length; [px, py] = ring[i++]) {
    twice += px * ring[i][1] - ring[i][0] * py;
  }
  return twice / 2;
}

/** Column-major cells with a frame of background one pixel wide, so that no step leaves the grid. */
function framedGrid(cells, width, height) {
  const column = height + 2;
  const framed = new Uint8Array((width + 2) * column);
  for (let x = 0; x < width; x++) framed.set(cells.subarray(x * height, (x + 1) * height), (x + 1) * column + 1);
  return { cells: framed, column };
}

/** Traces the ring that starts along the upper edge of a pixel. Marks every upper edge on its way. */
function trace({ cells, column }, startX, startY) {
  const inside = (x, y) => cells[x * column + y] & INSIDE;
  const ring = [];
  let [x, y, way] = [startX, startY, 0];
  let before = 3;
  do {
    if (way === 0) cells[x * column + y] |= TRACED;
    if (way !== before) ring.push([x + STARTS[way][0], y + STARTS[way][1]]);
    before = way;
    const [aheadX, aheadY] = [x + STEPS[way][0], y + STEPS[way][1]];
    const left = (way + 3) % 4;
    if (!inside(aheadX, aheadY)) {
      way = (way + 1) % 4;
    } else if (inside(aheadX + STEPS[left][0], aheadY + STEPS[left][1])) {
      [x, y, way] = [aheadX + STEPS[left][0], aheadY + STEPS[left][1], left];
    } else {
      [x, y] = [aheadX, aheadY];
    }
  } while (x !== startX || y !== startY || way !== 0);
  // A start in the middle of a straight edge is not a corner.
  if (before === 0) ring.shift();
  return ring;
}

function distance([ax, ay], [bx, by]) {
  return Math.hypot(ax - bx, ay - by);
}

function distanceToLine(point, a, b) {
  const length = distance(a, b);
  if (length === 0) return distance(point, a);
  return Math.abs((b[0] - a[0]) * (a[1] - point[1]) - (a[0] - point[0]) * (b[1] - a[1])) / length;
}
