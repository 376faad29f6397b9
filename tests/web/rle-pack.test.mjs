import assert from "node:assert/strict";
import { test } from "node:test";

import { packed } from "../../prompt_api/web/rle-pack.js";
import { rowRuns } from "../../prompt_api/web/row-runs.js";
import { edgesOfCells, random, someCells } from "./masks.mjs";

/** The edges of a mask that is given row by row. */
function edgesOfRows(rows) {
  const cells = rows[0].map((_, x) => rows.map((row) => row[x])).flat();
  return edgesOfCells(Uint8Array.from(cells));
}

function packedRows(rows) {
  const [height, width] = [rows.length, rows[0].length];
  return [...packed(rowRuns(edgesOfRows(rows), height, [0, 0, width, height]), height * width)];
}

// Written by label_studio_sdk.converter.brush.mask2rle, 2.1.2.
for (const [rows, expected] of [
  [[[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], [0, 0, 0, 60, 57, 27, 254, 23, 0, 159, 255, 13, 128, 0]],
  [[[1]], [0, 0, 0, 4, 57, 27, 252, 127, 224]],
  [[[0, 1], [1, 0]], [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0]],
  [[[1, 1, 1, 1, 1]], [0, 0, 0, 20, 57, 27, 254, 19, 255, 0]],
]) {
  test(`${JSON.stringify(rows)} is packed as Label Studio's converter packs it`, () => {
    assert.deepEqual(packedRows(rows), expected);
  });
}

test("runs along the rows of any window are those of the pixels", () => {
  const next = random(8);
  const [height, width] = [13, 19];
  for (let round = 0; round < 200; round++) {
    const cells = someCells([height, width], next);
    const [left, top, right, bottom] = [2, 1, 2, 3];
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        if (x < left || y < top || x >= width - right || y >= height - bottom) cells[x * height + y] = 0;
      }
    }
    const window = [left, top, width - left - right, height - top - bottom];
    const runs = rowRuns(edgesOfCells(cells), height, window);
    assert.ok(runs.every((run, index) => run > 0 || index === 0));
    const got = runs.flatMap((run, index) => Array(run).fill(index % 2));
    const expected = Array.from({ length: window[2] * window[3] }, (_, at) => {
      return cells[(left + (at % window[2])) * height + top + Math.floor(at / window[2])];
    });
    assert.deepEqual(got, expected);
  }
});
