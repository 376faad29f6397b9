/** A mask of the picture as a prompt: low-res logits that the decoder takes, as `prompt_api/masks/low_res.py` makes them. */

import { resizedSize } from "./geometry.js";
import { FRAME_SIDE, LOW_RES_SIDE } from "./sam1.js";

/** The logit of a cell of which at least half is inside; outside it is the negative. The padding is 0. */
const INSIDE = 6.9;

/** In pixels of the frame. */
const CELL = FRAME_SIDE / LOW_RES_SIDE;

/**
 * @param {import("./runs.js").ColumnRuns} runs of a mask over the whole picture
 * @param {[number, number]} size [height, width] of what was encoded: the picture, or a region of it
 * @param {[number, number]} corner [x, y] of its first pixel in the picture
 * @returns {Float32Array} LOW_RES_SIDE * LOW_RES_SIDE, row by row
 */
export function lowResLogits({ x, top, bottom }, size, [left, above]) {
  const [insideHeight, insideWidth] = resizedSize(size);
  const rows = edges(size[0], insideHeight);
  const columns = edges(size[1], insideWidth);
  const covered = new Float64Array((rows.length - 1) * (columns.length - 1));
  for (let run = 0; run < x.length; run++) {
    const across = x[run] - left;
    const [start, end] = [Math.max(0, top[run] - above), Math.min(size[0], bottom[run] - above)];
    if (across < 0 || across >= size[1] || start >= end) continue;
    eachCell(columns, across, across + 1, (column, width) => {
      eachCell(rows, start, end, (row, height) => {
        covered[row * (columns.length - 1) + column] += width * height;
      });
    });
  }
  const logits = new Float32Array(LOW_RES_SIDE * LOW_RES_SIDE);
  for (let row = 0; row + 1 < rows.length; row++) {
    for (let column = 0; column + 1 < columns.length; column++) {
      const area = (rows[row + 1] - rows[row]) * (columns[column + 1] - columns[column]);
      // Sums of fractions may be off by a little.
      const isInside = covered[row * (columns.length - 1) + column] >= area * (0.5 - 1e-9);
      logits[row * LOW_RES_SIDE + column] = isInside ? INSIDE : -INSIDE;
    }
  }
  return logits;
}

/** [x0, y0, x1, y1] around the mask and the positive points. @param {number[]} bbox [x, y, width, height] */
export function boxAround([x, y, width, height], points, labels) {
  const places = [[x, y], [x + width, y + height], ...points.filter((_, index) => labels[index] === 1)];
  const [xs, ys] = [0, 1].map((axis) => places.map((place) => place[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Where the cells begin along one axis, in pixels of the picture, and where the last one ends. */
function edges(length, inside) {
  const count = Math.ceil(inside / CELL);
  return Float64Array.from({ length: count + 1 }, (_, cell) => (Math.min(cell * CELL, inside) * length) / inside);
}

/** Calls `tell` with each cell that the part from `start` to `end` reaches, and the length inside the cell. */
function eachCell(cells, start, end, tell) {
  const last = cells.length - 2;
  const first = Math.min(last, Math.floor((start / cells[last + 1]) * (last + 1)));
  let cell = first;
  while (cell > 0 && cells[cell] > start) cell--;
  while (cell < last && cells[cell + 1] <= start) cell++;
  for (; cell <= last && cells[cell] < end; cell++) {
    tell(cell, Math.min(end, cells[cell + 1]) - Math.max(start, cells[cell]));
  }
}
