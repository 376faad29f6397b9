import assert from "node:assert/strict";
import { test } from "node:test";

import { LARGEST, SMALLEST, firstDiameter, nextDiameter, sweep } from "../../prompt_api/web/brush.js";
import { cellsOf, random } from "./masks.mjs";

const SIZE = [40, 60];

/** The pixels whose centre is within the radius of the way, computed from the definition. */
function near(from, to, radius, [height, width]) {
  const length = (to.x - from.x) ** 2 + (to.y - from.y) ** 2;
  const cells = new Uint8Array(height * width);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const along = length === 0 ? 0 : ((x + 0.5 - from.x) * (to.x - from.x) + (y + 0.5 - from.y) * (to.y - from.y)) / length;
      const share = Math.min(1, Math.max(0, along));
      const [dx, dy] = [x + 0.5 - from.x - share * (to.x - from.x), y + 0.5 - from.y - share * (to.y - from.y)];
      cells[x * height + y] = Math.hypot(dx, dy) <= radius ? 1 : 0;
    }
  }
  return cells;
}

test("a stroke covers the pixels whose centres are within the radius of its way", () => {
  const next = random(3);
  for (let round = 0; round < 300; round++) {
    const place = () => ({ x: next() * 80 - 10, y: next() * 60 - 10 });
    const [from, to] = [place(), place()];
    const diameter = 2 + next() * 30;
    assert.deepEqual(cellsOf(sweep(from, to, diameter, SIZE), SIZE), near(from, to, diameter / 2, SIZE));
  }
});

test("strokes straight along and across, and dabs, are exact too", () => {
  for (const [from, to] of [
    [{ x: 10, y: 20 }, { x: 40, y: 20 }],
    [{ x: 10, y: 5 }, { x: 10, y: 30 }],
    [{ x: 30, y: 30 }, { x: 12, y: 12 }],
    [{ x: 25.5, y: 17.25 }, { x: 25.5, y: 17.25 }],
  ]) {
    assert.deepEqual(cellsOf(sweep(from, to, 7, SIZE), SIZE), near(from, to, 3.5, SIZE));
  }
});

test("the smallest brush paints the one pixel under the pointer, wherever in it the pointer is", () => {
  for (const [x, y] of [[7, 9], [7.01, 9.99], [7.5, 9.5], [7.99, 9.01]]) {
    assert.deepEqual([...sweep({ x, y }, { x, y }, 1, SIZE)], [7 * 40 + 9, 7 * 40 + 10]);
  }
});

test("a thin stroke has no gaps", () => {
  const cells = cellsOf(sweep({ x: 2, y: 3 }, { x: 57, y: 31 }, 1, SIZE), SIZE);
  for (let x = 2; x < 57; x++) assert.ok(cells.subarray(x * 40, x * 40 + 40).includes(1), `column ${x}`);
});

test("a brush larger than the picture covers all of it, and one beside it nothing", () => {
  assert.deepEqual([...sweep({ x: 30, y: 20 }, { x: 31, y: 20 }, 500, SIZE)], [0, 2400]);
  assert.equal(sweep({ x: -30, y: 20 }, { x: -20, y: 20 }, 10, SIZE).length, 0);
});

test("each size step changes the size, up to the limits", () => {
  let diameter = SMALLEST;
  const sizes = new Set([diameter]);
  for (let i = 0; i < 60; i++) sizes.add((diameter = nextDiameter(diameter, 1)));
  assert.equal(diameter, LARGEST);
  for (let i = 0; i < 60; i++) diameter = nextDiameter(diameter, -1);
  assert.equal(diameter, SMALLEST);
  assert.ok(sizes.has(2) && sizes.has(3) && sizes.size < 40);
  assert.equal(firstDiameter({ width: 3000, height: 2000 }), 60);
});
