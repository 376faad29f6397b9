import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { sweep } from "../../prompt_api/web/brush.js";
import * as mask from "../../prompt_api/web/mask-edges.js";
import { decodeRuns, encodeRuns } from "../../prompt_api/web/rle.js";
import { cellsOf, edgesOfCells, random, someCells } from "./masks.mjs";

const vectors = JSON.parse(readFileSync(new URL("vectors/rle.json", import.meta.url), "utf8"));
const SIZE = [23, 17];

for (const { name, size, counts, runs } of vectors) {
  test(`${name}: runs become pycocotools' string`, () => {
    assert.equal(encodeRuns(runs), counts);
  });

  test(`${name}: runs become edges and the same runs again`, () => {
    const edges = mask.edgesOf({ size, counts });
    assert.deepEqual([...mask.runsOf(edges, size[0] * size[1])], runs);
    assert.equal(mask.maskFrom(edges, size).rle.counts, counts);
  });
}

test("masks are joined and cut as their pixels are", () => {
  const next = random(11);
  for (let round = 0; round < 200; round++) {
    const [one, other] = [someCells(SIZE, next), someCells(SIZE, next)];
    const [edges, patch] = [edgesOfCells(one), edgesOfCells(other)];
    assert.deepEqual(cellsOf(mask.united(edges, patch), SIZE), one.map((cell, place) => cell | other[place]));
    assert.deepEqual(cellsOf(mask.without(edges, patch), SIZE), one.map((cell, place) => cell & ~other[place]));
    const joined = mask.united(edges, patch);
    assert.ok(joined.every((place, index) => index === 0 || place > joined[index - 1]));
  }
});

test("area, box and cover are those of the pixels", () => {
  const next = random(5);
  for (let round = 0; round < 200; round++) {
    const cells = someCells(SIZE, next);
    const edges = edgesOfCells(cells);
    const places = [...cells.keys()].filter((place) => cells[place]);
    assert.equal(mask.areaOf(edges), places.length);
    for (let place = 0; place < cells.length; place++) assert.equal(mask.covers(edges, place), cells[place] === 1);
    if (places.length === 0) continue;
    const [xs, ys] = [places.map((place) => Math.floor(place / SIZE[0])), places.map((place) => place % SIZE[0])];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    assert.deepEqual(mask.boxOf(edges, SIZE[0]), [left, top, Math.max(...xs) + 1 - left, Math.max(...ys) + 1 - top]);
  }
  assert.deepEqual(mask.boxOf(mask.EMPTY, 9), [0, 0, 0, 0]);
});

test("what was painted and erased again leaves the mask as it was around it", () => {
  const edges = edgesOfCells(someCells(SIZE, random(2)));
  const stroke = sweep({ x: 3, y: 4 }, { x: 12, y: 15 }, 5, SIZE);
  const painted = mask.without(mask.united(edges, stroke), stroke);
  assert.deepEqual(painted, mask.without(edges, stroke));
});

test("a stroke on a mask of 50 megapixels changes only what it covers", () => {
  const [height, width] = [5800, 8700];
  const runs = [];
  // Half a million runs: a mask finer than any that a model gives.
  for (let column = 0; column < width; column++) for (let part = 0; part < 29; part++) runs.push(100, 100);
  const edges = mask.edgesOfRuns(runs, height * width);
  const stroke = sweep({ x: 4000, y: 3000 }, { x: 4300, y: 3100 }, 100, [height, width]);
  const painted = mask.united(edges, stroke);
  const [first, last] = [stroke[0], stroke.at(-1)];
  assert.deepEqual(painted.filter((place) => place < first), edges.filter((place) => place < first));
  assert.deepEqual(painted.filter((place) => place > last), edges.filter((place) => place > last));
  for (let i = 0; i < stroke.length; i += 2) assert.ok(mask.covers(painted, stroke[i]) && mask.covers(painted, stroke[i + 1] - 1));
  const { rle, area } = mask.maskFrom(painted, [height, width]);
  assert.equal(decodeRuns(rle.counts).reduce((sum, run, index) => sum + (index % 2) * run, 0), area);
});

test("runs that do not fit the size are refused", () => {
  for (const runs of [[3, 4], [3, 10], [-1, 13], [2.5, 9.5], [Number.NaN, 12], [12, 0, 1]]) {
    assert.throws(() => mask.edgesOfRuns(runs, 12), RangeError, String(runs));
  }
  assert.deepEqual([...mask.edgesOfRuns([2, 3, 0, 4, 3], 12)], [2, 9]);
});
