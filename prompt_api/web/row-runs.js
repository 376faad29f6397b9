/** The runs of a mask along the rows, for formats that go row by row. COCO goes down the columns. */

/**
 * Run lengths along the rows of a window: background, mask, background, …
 *
 * The cost grows with the outline of the mask, not with the size of the picture.
 * @param {import("./mask-edges.js").Edges} edges
 * @param {number} height of the picture
 * @param {[number, number, number, number]} window [x, y, width, height] in pixels; it must contain the whole mask
 * @returns {number[]} only the first may be 0
 */
export function rowRuns(edges, height, [left, top, width, rows]) {
  const changes = changesAlongRows(edges, height, left, top, width, rows);
  const runs = [];
  let before = 0;
  for (let i = 0; i < changes.length; i++) {
    // The end of a row is the start of the next one, so changes in both cancel out.
    if (changes[i] === changes[i + 1]) i++;
    else {
      runs.push(changes[i] - before);
      before = changes[i];
    }
  }
  if (before < width * rows || runs.length === 0) runs.push(width * rows - before);
  return runs;
}

/** The places of the window, row by row, where the pixel differs from the one on its left; twice where two rows meet. */
function changesAlongRows(edges, height, left, top, width, rows) {
  const counts = new Uint32Array(rows + 1);
  eachChange(edges, height, (_x, y) => counts[y - top]++);
  let start = 0;
  counts.forEach((count, row) => {
    counts[row] = start;
    start += count;
  });
  const changes = new Float64Array(start);
  // The columns are read from left to right, so each row's changes come in order.
  eachChange(edges, height, (x, y) => (changes[counts[y - top]++] = (y - top) * width + x - left));
  return changes;
}

/** Calls `tell` with each pixel whose left neighbour differs from it. Beside the picture there is background. */
function eachChange(edges, height, tell) {
  let before = [];
  let column = -1;
  const compare = (x, now) => {
    const ends = [...before, ...now].sort((a, b) => a - b);
    for (let i = 0; i < ends.length; i += 2) for (let y = ends[i]; y < ends[i + 1]; y++) tell(x, y);
    before = now;
  };
  for (const [x, spans] of columnsOf(edges, height)) {
    if (x !== column + 1) compare(column + 1, []);
    compare(x, spans);
    column = x;
  }
  compare(column + 1, []);
}

/** Each column that the mask touches, with the first and the last rows of its runs in turn: top, bottom, top, … */
function* columnsOf(edges, height) {
  let column = -1;
  let spans = [];
  for (let i = 0; i < edges.length; i += 2) {
    for (let place = edges[i]; place < edges[i + 1]; ) {
      const x = Math.floor(place / height);
      const end = Math.min(edges[i + 1], (x + 1) * height);
      if (x !== column) {
        if (column >= 0) yield [column, spans];
        [column, spans] = [x, []];
      }
      spans.push(place - x * height, end - x * height);
      place = end;
    }
  }
  if (column >= 0) yield [column, spans];
}
