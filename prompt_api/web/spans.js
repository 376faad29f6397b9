/**
 * Spans of rings: the points between two corners, which a straight line may replace.
 *
 * A span goes from the point `first` to the point `last` of a ring. One beyond the last point of a ring stands for the
 * ring's first point.
 *
 * All numbers are made with operations that IEEE 754 rounds in one way, so the API finds the same corners.
 */

/** How often a span between two corners is divided. What is then still off keeps all its corners. */
const MOST_ROUNDS = 64;

/**
 * Marks in `kept` the points that divide a span, until all of its points are within a tolerance.
 *
 * Source: Douglas and Peucker, 1973.
 * @param {import("./rings.js").Rings} rings
 * @param {number} ring
 * @param {number} first
 * @param {number} last
 * @param {number} square that of the tolerance
 * @param {Uint8Array} kept
 */
export function divide(rings, ring, first, last, square, kept) {
  const open = [[first, last, 0]];
  while (open.length > 0) {
    const [from, to, round] = open.pop();
    if (to - from < 2) continue;
    if (round === MOST_ROUNDS) {
      kept.fill(1, from + 1, to);
      continue;
    }
    const [worst, distance] = worstOf(rings, ring, from, to);
    if (distance > square) {
      kept[worst] = 1;
      open.push([from, worst, round + 1], [worst, to, round + 1]);
    }
  }
}

/** The first of the points between that are farthest from the line of a span, and the square of its distance. */
export function worstOf(rings, ring, first, last) {
  const stop = wrapped(rings, ring, last);
  let [worst, most] = [first + 1, -1];
  for (let point = first + 1; point < last; point++) {
    const distance = squaredDistance(rings, point, first, stop);
    if (distance > most) [worst, most] = [point, distance];
  }
  return [worst, most];
}

/** The index of the point that `last` stands for. */
export function wrapped({ starts }, ring, last) {
  return last === starts[ring + 1] ? starts[ring] : last;
}

function squaredDistance({ x, y }, point, start, stop) {
  const [alongX, alongY] = [x[stop] - x[start], y[stop] - y[start]];
  const [awayX, awayY] = [x[point] - x[start], y[point] - y[start]];
  const [beyondX, beyondY] = [x[point] - x[stop], y[point] - y[stop]];
  const length = alongX * alongX + alongY * alongY;
  const place = awayX * alongX + awayY * alongY;
  if (place <= 0) return awayX * awayX + awayY * awayY;
  if (place >= length) return beyondX * beyondX + beyondY * beyondY;
  const across = alongX * awayY - alongY * awayX;
  return (across * across) / length;
}
