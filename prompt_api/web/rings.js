/**
 * The border of a mask as rings along its pixels' edges.
 *
 * Coordinates are pixels of the picture, with (0, 0) at the upper left corner of the first pixel. Outer rings run
 * clockwise on the screen, holes the other way.
 *
 * @typedef {[number, number][]} Ring not closed by a repeated point
 * @typedef {{x: Int32Array, y: Int32Array, starts: Int32Array, part: Int32Array}} Rings the corners of all rings, one ring
 *   after the other; where each begins, and at last the number of corners; the number of the outer ring around the part
 *   that a ring belongs to, which for an outer ring is its own
 */

/**
 * The outer rings of the mask's 4-connected parts and their holes, ordered by first edge, by y, then x. A ring begins
 * with its topmost edge; of several, the leftmost. It gives the same rings as the API.
 *
 * No ring touches itself. Two rings may touch at corners. Where a part touches itself at a corner, its ring would do so
 * too: it is cut there into several rings.
 * @param {import("./local/runs.js").ColumnRuns} runs
 * @returns {Rings}
 */
export function ringsOf(runs) {
  const edges = edgesOf(runs);
  const pairs = pairsOf(edges, runs.size[0]);
  let traced = trace(following(edges, pairs));
  if (cutWhereARingTouchesItself(edges, pairs, traced.owner)) traced = trace(following(edges, pairs));
  const { cycles, owner } = traced;
  const total = 2 * edges.y.length;
  const rings = {
    x: new Int32Array(total),
    y: new Int32Array(total),
    starts: new Int32Array(cycles.length + 1),
    part: new Int32Array(cycles.length),
  };
  cycles.forEach((cycle, number) => {
    const isOuter = edges.isTop[cycle[0]];
    // The pixel above a hole's topmost edge belongs to the part around the hole, and so does the top of that pixel's
    // run. That top lies on a ring that starts higher, whose part is already known.
    rings.part[number] = isOuter ? number : rings.part[owner[edges.topOfRunAbove[cycle[0]]]];
    const start = rings.starts[number];
    rings.starts[number + 1] = start + 2 * cycle.length;
    cycle.forEach((edge, index) => {
      const ends = edges.isTop[edge] ? [edges.left[edge], edges.right[edge]] : [edges.right[edge], edges.left[edge]];
      ends.forEach((x, end) => {
        rings.x[start + 2 * index + end] = x;
        rings.y[start + 2 * index + end] = edges.y[edge];
      });
    });
  });
  return rings;
}

/**
 * The horizontal edges of the border, ordered by row. An edge at the tops of runs goes right, one at the bottoms left.
 * `topOfRunAbove`: for an edge at bottoms of runs, the edge at the top of its leftmost run.
 */
function edgesOf({ size: [, width], x, top, bottom }) {
  const count = x.length;
  const line = Float64Array.from({ length: 2 * count }, (_, i) => (i < count ? 2 * top[i] + 1 : 2 * bottom[i - count]));
  const key = line.map((value, i) => value * (width + 1) + x[i % count]);
  const order = sorted(key);
  const [left, right, y, isTop, first] = [[], [], [], [], []];
  const edge = new Int32Array(2 * count);
  order.forEach((end, i) => {
    const column = x[end % count];
    if (i === 0 || key[end] !== key[order[i - 1]] + 1) {
      left.push(column);
      right.push(column + 1);
      y.push(Math.floor(line[end] / 2));
      isTop.push(line[end] % 2 === 1);
      first.push(end);
    } else {
      right[right.length - 1] = column + 1;
    }
    edge[end] = left.length - 1;
  });
  return { left, right, y, isTop, topOfRunAbove: first.map((end) => edge[end % count]) };
}

/**
 * The ends of edges, so that each two in a row are joined by a vertical edge. End e is the left end of edge e, end
 * `count` + e its right end. The ends on one vertical line pair up from top to bottom. Where two pixels touch at a
 * corner, two ends share a point: the end at a bottom comes first, so that it pairs with the pixel above.
 */
function pairsOf({ left, right, y, isTop }, height) {
  const key = (x, edge) => (x * (height + 1) + y[edge]) * 2 + (isTop[edge] ? 1 : 0);
  return sorted(Float64Array.from([...left.map(key), ...right.map(key)]));
}

/** For each edge, the next edge of its ring. */
function following({ y, isTop }, pairs) {
  const count = y.length;
  const next = new Int32Array(count);
  for (let i = 0; i < pairs.length; i += 2) {
    const [upper, lower] = [pairs[i], pairs[i + 1]];
    // A right end of a top edge, or a left end of a bottom edge, is where its edge ends.
    const isDown = upper >= count === isTop[upper % count];
    const [from, to] = isDown ? [upper, lower] : [lower, upper];
    next[from % count] = to % count;
  }
  return next;
}

/** Swaps ends of one ring that share a point. Returns whether there are any. */
function cutWhereARingTouchesItself({ left, right, y }, pairs, owner) {
  const count = y.length;
  const x = (end) => (end < count ? left[end] : right[end - count]);
  const cuts = [];
  for (let i = 1; i + 1 < pairs.length; i += 2) {
    const [upper, lower] = [pairs[i], pairs[i + 1]];
    const [one, other] = [upper % count, lower % count];
    if (x(upper) === x(lower) && y[one] === y[other] && owner[one] === owner[other]) cuts.push(i);
  }
  for (const i of cuts) [pairs[i], pairs[i + 1]] = [pairs[i + 1], pairs[i]];
  return cuts.length > 0;
}

/** The cycles of a permutation, each from its least member, ordered by that member; and for each member its cycle. */
function trace(next) {
  const owner = new Int32Array(next.length).fill(-1);
  const cycles = [];
  for (let start = 0; start < next.length; start++) {
    if (owner[start] >= 0) continue;
    const cycle = [];
    for (let at = start; owner[at] < 0; at = next[at]) {
      owner[at] = cycles.length;
      cycle.push(at);
    }
    cycles.push(cycle);
  }
  return { cycles, owner };
}

function sorted(key) {
  return Uint32Array.from(key.keys()).sort((a, b) => key[a] - key[b]);
}
