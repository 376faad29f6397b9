/**
 * Turns low-res logits into the mask at full size, and looks only where the mask can change.
 *
 * The mathematics is that of `prompt_api/models/sam1/boundary.py` and `prompt_api/masks/crossings.py`, which explain why it
 * holds. Every step rounds to float32 as torch does there, so that equal logits give equal masks.
 */

import { resizeAxis } from "./axis.js";
import { resizedSize } from "./geometry.js";
import { runsBetween } from "./runs.js";
import { FRAME_SIDE, LOW_RES_SIDE } from "./sam1.js";

/** Samples of the 1024 frame between two low-res ones. */
const STEP = FRAME_SIDE / LOW_RES_SIDE;
const SHIFT = 2;

/** Samples along a side of a window: those of one step and the first of the next. Three low-res samples give them. */
const SAMPLES = STEP + 1;
const LOWER = [0, 0, 0, 0, 1];
const WEIGHT = [1 / 8, 3 / 8, 5 / 8, 7 / 8, 1 / 8];

/** Logits closer to 0 count as 0, so that no product underflows and every result has the sign of its inputs. */
const TINIEST = Math.fround(1e-20);

/**
 * The mask of `logits` over the original image, as `SamPredictor.predict` thresholds it.
 * @param {Float32Array} logits 256 x 256, finite, over the zero-padded 1024 frame
 * @param {[number, number]} size [height, width] of the original
 * @returns {import("./runs.js").ColumnRuns}
 */
export function maskRuns(logits, size) {
  const frame = resizedSize(size);
  const rows = resizeAxis(frame[0], size[0]);
  const columns = resizeAxis(frame[1], size[1]);
  const padded = pad(logits, frame);
  // Each change at (x, y), 0 <= y <= height, is one number. The numbers sort by column, then row.
  const places = size[0] + 1;
  const changes = [];
  addCrossings(changes, places, padded, frame, rows, columns);
  for (const [row, y] of [[0, 0], [frame[0] - 1, size[0]]]) {
    profile(padded, row, columns).forEach((value, x) => value > 0 && changes.push(x * places + y));
  }
  return runsBetween(Float64Array.from(changes).sort(), size);
}

/**
 * The logits that the image without its padding reads. Edges are repeated so that every window is whole.
 * Entry (i, j) is low-res sample (i - 1, j - 1), where window (i, j) starts.
 */
function pad(logits, frame) {
  const [height, width] = frame.map((side) => Math.floor((side + 1) / STEP) + 3);
  const values = new Float32Array(height * width);
  for (let i = 0; i < height; i++) {
    const from = clamp(i - 1) * LOW_RES_SIDE;
    for (let j = 0; j < width; j++) {
      const value = logits[from + clamp(j - 1)];
      values[i * width + j] = Math.abs(value) < TINIEST ? 0 : value;
    }
  }
  return { values, height, width };
}

function clamp(index) {
  return Math.min(Math.max(index, 0), LOW_RES_SIDE - 1);
}

/** Values at row `row` of the 1024 frame, resized along x to the original's columns. */
function profile({ values, width }, row, columns) {
  const window = (row + SHIFT) >> 2;
  const [upper, lower] = [values.subarray(window * width), values.subarray((window + 1) * width)];
  const samples = new Float32Array(columns.first.length);
  for (let column = 0; column < samples.length; column++) {
    const across = (column + SHIFT) >> 2;
    const weight = WEIGHT[(column + SHIFT) % STEP];
    const above = mix(upper[across], upper[across + 1], weight);
    samples[column] = mix(above, mix(lower[across], lower[across + 1], weight), WEIGHT[(row + SHIFT) % STEP]);
  }
  return columns.weight.map((weight, x) => mix(samples[columns.lower[x]], samples[columns.lower[x] + 1], weight));
}

/** Adds a number for each sign change between rows y - 1 and y of the original, going down its columns. */
function addCrossings(changes, places, padded, frame, rows, columns) {
  const { values, height, width } = padded;
  const samples = new Float32Array(SAMPLES * SAMPLES);
  for (let i = 0; i < height - 2; i++) {
    for (let j = 0; j < width - 2; j++) {
      if (!isMixed(values, i * width + j, width, 3)) continue;
      fillWindow(samples, values, i * width + j, width);
      for (let cell = 0; cell < STEP * STEP; cell++) {
        const row = STEP * i + (cell >> 2) - SHIFT;
        const column = STEP * j + (cell % STEP) - SHIFT;
        const corner = (cell >> 2) * SAMPLES + (cell % STEP);
        if (row < 0 || row >= frame[0] - 1 || column < 0 || column >= frame[1]) continue;
        if (!isMixed(samples, corner, SAMPLES, 2)) continue;
        for (let x = columns.first[column]; x < columns.first[column + 1]; x++) {
          const weight = columns.weight[x];
          const above = mix(samples[corner], samples[corner + 1], weight);
          const below = mix(samples[corner + SAMPLES], samples[corner + SAMPLES + 1], weight);
          if (above > 0 !== below > 0) changes.push(x * places + firstLikeBelow(above, below, row, rows));
        }
      }
    }
  }
}

/** True if the square of `side` values from `start` on holds both signs. */
function isMixed(values, start, width, side) {
  const positive = values[start] > 0;
  for (let down = 0; down < side; down++) {
    for (let across = 0; across < side; across++) {
      if (values[start + down * width + across] > 0 !== positive) return true;
    }
  }
  return false;
}

/** Fills in the 5 x 5 samples of the 1024 frame in the window at `start`. Resizes along x first, as torch does. */
function fillWindow(samples, values, start, width) {
  for (let place = 0; place < SAMPLES; place++) {
    const at = start + LOWER[place];
    const weight = WEIGHT[place];
    const first = mix(values[at], values[at + 1], weight);
    const second = mix(values[at + width], values[at + width + 1], weight);
    const third = mix(values[at + 2 * width], values[at + 2 * width + 1], weight);
    for (let line = 0; line < STEP; line++) samples[line * SAMPLES + place] = mix(first, second, WEIGHT[line]);
    samples[STEP * SAMPLES + place] = mix(second, third, WEIGHT[STEP]);
  }
}

/**
 * Of the rows of the original between frame rows `row` and `row + 1`, the first with the sign of `below`; or the row
 * after them if there is none.
 */
function firstLikeBelow(above, below, row, rows) {
  let low = rows.first[row];
  let high = rows.first[row + 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (mix(above, below, rows.weight[middle]) > 0 === below > 0) high = middle;
    else low = middle + 1;
  }
  return high;
}

function mix(lower, upper, weight) {
  return Math.fround(Math.fround(lower * Math.fround(1 - weight)) + Math.fround(upper * weight));
}
