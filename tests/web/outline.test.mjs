import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { outlines, signedArea, simplify } from "../../prompt_api/web/outline.js";

const vectors = JSON.parse(readFileSync(new URL("vectors/rle.json", import.meta.url), "utf8"));

/** Runs of a mask drawn with "#", and its size. */
function drawn(...rows) {
  const size = [rows.length, rows[0].length];
  const runs = [0];
  for (let x = 0, last = 0; x < size[1]; x++) {
    for (let y = 0; y < size[0]; y++) {
      const cell = rows[y][x] === "#" ? 1 : 0;
      if (cell !== last) runs.push(0);
      runs[runs.length - 1]++;
      last = cell;
    }
  }
  return { runs, size };
}

function whole({ runs, size: [height, width] }) {
  return outlines(runs, [height, width], [0, 0, width, height]);
}

function areaOf(rings) {
  return rings.reduce((sum, ring) => sum + signedArea(ring), 0);
}

function pixels({ runs }) {
  return runs.reduce((sum, length, index) => sum + (index % 2) * length, 0);
}

test("a block is its four corners, clockwise on the screen", () => {
  assert.deepEqual(whole(drawn("....", ".##.", ".##.", "....")), [[[1, 1], [3, 1], [3, 3], [1, 3]]]);
});

test("a hole runs the other way", () => {
  assert.deepEqual(whole(drawn("###..", "#.#.#", "###..")).map(signedArea), [9, -1, 1]);
});

test("an island in a hole is a part of its own", () => {
  assert.deepEqual(whole(drawn("#####", "#...#", "#.#.#", "#...#", "#####")).map(signedArea), [25, -9, 1]);
});

test("pixels that touch at a corner are two parts", () => {
  assert.equal(whole(drawn("#.", ".#")).length, 2);
});

test("only the bounding box is read, and coordinates are those of the whole picture", () => {
  const { runs, size } = drawn("......", "...##.", "...##.");
  assert.deepEqual(outlines(runs, size, [3, 1, 2, 2])[0], [[3, 1], [5, 1], [5, 3], [3, 3]]);
});

for (const vector of vectors) {
  test(`${vector.name}: the outlines enclose as many pixels as the mask has`, () => {
    assert.equal(areaOf(whole(vector)), pixels(vector));
  });
}

test("stairs become a line, and no point moves further than the tolerance", () => {
  const rows = Array.from({ length: 40 }, (_, y) => "#".repeat(y + 1).padEnd(40, "."));
  const [outer] = whole(drawn(...rows));
  assert.ok(simplify(outer, 1).length <= 6);
  assert.ok(Math.abs(signedArea(simplify(outer, 1)) - signedArea(outer)) <= 40);
});

test("a ring that would collapse stays unchanged", () => {
  const [outer] = whole(drawn("#"));
  assert.equal(simplify(outer, 5), outer);
});
