/**
 * The shape of a brush on a mask: the pixels whose centres a round brush covers on its way.
 *
 * Coordinates are pixels of the upright picture, with (0, 0) at the upper left corner of the first pixel. They need not
 * be whole and may lie outside the picture.
 */

/** Diameters of the brush in pixels of the picture. */
export const SMALLEST = 1;
export const LARGEST = 2000;

/** A brush below this diameter paints single pixels. A disc of this diameter contains the centre of at least one. */
const FINE = 2;
const GROWTH = 1.25;

/**
 * The pixels that a brush covers on the straight way between two places.
 * @param {{x: number, y: number}} from
 * @param {{x: number, y: number}} to the same as `from` for a dab
 * @param {number} diameter in pixels
 * @param {import("./mask-edges.js").Size} size [height, width]
 * @returns {import("./mask-edges.js").Edges}
 */
export function sweep(from, to, diameter, [height, width]) {
  const isFine = diameter < FINE;
  const radius = isFine ? 0.5 : diameter / 2;
  const [a, b] = isFine ? [pixelCentre(from), pixelCentre(to)] : [from, to];
  const first = Math.max(0, Math.ceil(Math.min(a.x, b.x) - radius - 0.5));
  const last = Math.min(width - 1, Math.floor(Math.max(a.x, b.x) + radius - 0.5));
  const edges = new Uint32Array(2 * Math.max(0, last - first + 1));
  let count = 0;
  for (let x = first; x <= last; x++) {
    const [upper, lower] = span(x + 0.5, a, b, radius);
    const top = Math.max(0, Math.ceil(upper - 0.5));
    const bottom = Math.min(height, Math.floor(lower - 0.5) + 1);
    if (!(top < bottom)) continue;
    // A column that is covered to its end goes on at the start of the next one.
    if (count > 0 && edges[count - 1] === x * height + top) count--;
    else edges[count++] = x * height + top;
    edges[count++] = x * height + bottom;
  }
  return edges.slice(0, count);
}

/** Whether a tool of the page paints. @param {string} tool */
export function isBrush(tool) {
  return tool === "brush" || tool === "erase";
}

/** The next larger or smaller diameter. @param {number} diameter @param {1|-1} way */
export function nextDiameter(diameter, way) {
  const next = way > 0 ? Math.max(diameter + 1, Math.round(diameter * GROWTH)) : Math.min(diameter - 1, Math.round(diameter / GROWTH));
  return Math.min(LARGEST, Math.max(SMALLEST, next));
}

/** A diameter that suits a picture: a fiftieth of its long side. */
export function firstDiameter({ width, height }) {
  return Math.min(LARGEST, Math.max(8, Math.round(Math.max(width, height) / 50)));
}

/** The part of the vertical line at `x` within `radius` of the way from `a` to `b`: [top, bottom]. Empty if top > bottom. */
function span(x, a, b, radius) {
  let [top, bottom] = [Infinity, -Infinity];
  const include = (from, to) => {
    if (from > to) return;
    top = Math.min(top, from);
    bottom = Math.max(bottom, to);
  };
  for (const end of [a, b]) {
    const half = Math.sqrt(radius ** 2 - (x - end.x) ** 2);
    if (half >= 0) include(end.y - half, end.y + half);
  }
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  if (length > 0) include(...band(x - a.x, [(b.x - a.x) / length, (b.y - a.y) / length], length, radius).map((y) => y + a.y));
  return [top, bottom];
}

/** The same for the rectangle between the two round ends, from `a` as the origin. `way`: the unit vector to `b`. */
function band(x, [across, down], length, radius) {
  let [top, bottom] = [-Infinity, Infinity];
  // Each side of the rectangle: least <= x * p + y * q <= most.
  for (const [p, q, least, most] of [
    [across, down, 0, length],
    [-down, across, -radius, radius],
  ]) {
    if (q === 0) {
      if (x * p < least || x * p > most) return [1, 0];
      continue;
    }
    const [one, other] = [(least - x * p) / q, (most - x * p) / q];
    top = Math.max(top, Math.min(one, other));
    bottom = Math.min(bottom, Math.max(one, other));
  }
  return [top, bottom];
}

function pixelCentre({ x, y }) {
  return { x: Math.floor(x) + 0.5, y: Math.floor(y) + 0.5 };
}
