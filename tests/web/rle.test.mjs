import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeRuns, rasterize } from "../../prompt_api/web/rle.js";

const vectors = JSON.parse(readFileSync(new URL("vectors/rle.json", import.meta.url), "utf8"));

/** The mask cell by cell, column-major, computed from the definition. */
function cellsOf({ runs }) {
  return Uint8Array.from(runs.flatMap((length, index) => Array(length).fill(index % 2)));
}

function whole({ size: [height, width] }) {
  return { x: 0, y: 0, width, height };
}

for (const vector of vectors) {
  const [height, width] = vector.size;

  test(`${vector.name}: the runs are pycocotools'`, () => {
    assert.deepEqual(decodeRuns(vector.counts), vector.runs);
  });

  test(`${vector.name}: at its own size every cell is right`, () => {
    const got = rasterize(vector.runs, vector.size, whole(vector), width, height);
    assert.deepEqual(got, cellsOf(vector));
  });

  test(`${vector.name}: at any size, and in any window, each pixel is the cell under its centre`, () => {
    const cells = cellsOf(vector);
    const windows = [
      whole(vector),
      { x: width * 0.3, y: height * 0.2, width: width * 0.6, height: height * 0.7 },
    ];
    for (const window of windows) {
      for (const [outWidth, outHeight] of [[1, 1], [3, 4], [17, 5], [2 * width, 3 * height]]) {
        const expected = new Uint8Array(outWidth * outHeight);
        for (let column = 0; column < outWidth; column++) {
          for (let row = 0; row < outHeight; row++) {
            const x = Math.floor(window.x + ((column + 0.5) * window.width) / outWidth);
            const y = Math.floor(window.y + ((row + 0.5) * window.height) / outHeight);
            expected[column * outHeight + row] = cells[x * height + y];
          }
        }
        assert.deepEqual(rasterize(vector.runs, vector.size, window, outWidth, outHeight), expected);
      }
    }
  });
}

test("a string that ends inside a number is refused", () => {
  assert.throws(() => decodeRuns("0o"), RangeError);
});

test("a character outside the alphabet is refused", () => {
  assert.throws(() => decodeRuns("1 2"), RangeError);
});
