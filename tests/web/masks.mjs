/** Masks for the tests of the page's modules. */

/** Cells 0 or 1, column-major, of a mask that is given as edges. */
export function cellsOf(edges, [height, width]) {
  const cells = new Uint8Array(height * width);
  for (let i = 0; i < edges.length; i += 2) cells.fill(1, edges[i], edges[i + 1]);
  return cells;
}

/** The edges of column-major cells, computed from the definition. */
export function edgesOfCells(cells) {
  const edges = [];
  let before = 0;
  cells.forEach((cell, place) => {
    if (cell !== before) edges.push(place);
    before = cell;
  });
  if (before) edges.push(cells.length);
  return Uint32Array.from(edges);
}

/** A source of numbers from 0 to 1 that is the same in every run (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** Column-major cells of `size` with some blobs and some noise. */
export function someCells([height, width], next) {
  const cells = new Uint8Array(height * width);
  for (let blob = 0; blob < 4; blob++) {
    const [cx, cy, radius] = [next() * width, next() * height, (next() * Math.min(width, height)) / 3];
    const value = next() < 0.7 ? 1 : 0;
    cells.forEach((_, place) => {
      if (Math.hypot(Math.floor(place / height) - cx, (place % height) - cy) < radius) cells[place] = value;
    });
  }
  for (let speck = 0; speck < 5; speck++) cells[Math.floor(next() * cells.length)] ^= 1;
  return cells;
}
