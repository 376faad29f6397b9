import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseRegion, holds, isCut, isFiner } from "../../prompt_api/web/region.js";

const LARGE = { width: 6000, height: 4000 };

/** What is seen of a frame of 1200 x 800 device pixels whose middle is at (x, y), `width` pixels of the picture wide. */
function seen(x, y, width, frame = { width: 1200, height: 800 }) {
  const height = (width * frame.height) / frame.width;
  return { window: { x: x - width / 2, y: y - height / 2, width, height }, density: frame.width / width };
}

function covers([x0, y0, x1, y1], { window }, { width, height }) {
  return (
    x0 <= Math.max(0, window.x) &&
    y0 <= Math.max(0, window.y) &&
    x1 >= Math.min(width, window.x + window.width) &&
    y1 >= Math.min(height, window.y + window.height)
  );
}

test("a part of a large picture becomes a region with some room around", () => {
  assert.deepEqual(chooseRegion(LARGE, seen(3000, 2000, 500)), [2688, 1536, 3456, 2304]);
});

test("small pans and zooms keep the region", () => {
  const first = chooseRegion(LARGE, seen(3000, 2000, 500));
  for (const [x, y, width] of [[3060, 2000, 500], [2940, 2050, 500], [3000, 2000, 420], [3010, 1990, 560]]) {
    assert.deepEqual(chooseRegion(LARGE, seen(x, y, width), [first]), first);
  }
});

test("people who look at nearly the same thing get the same region, without knowing of each other", () => {
  const regions = [[3001, 2003, 500], [2990, 1995, 490], [3010, 2010, 520]].map((view) => chooseRegion(LARGE, seen(...view)));
  assert.deepEqual(new Set(regions.map(String)).size, 1);
});

test("a region that was known is left when it shows too little or too coarsely", () => {
  const first = chooseRegion(LARGE, seen(3000, 2000, 700));
  for (const view of [seen(3500, 2000, 700), seen(3000, 2000, 1400), seen(3000, 2000, 300)]) {
    const next = chooseRegion(LARGE, view, [first]);
    assert.notDeepEqual(next, first);
    assert.ok(covers(next, view, LARGE));
  }
});

test("the whole picture answers where a region would show little more, or the screen less than the encoder sees", () => {
  const whole = [
    [LARGE, seen(3000, 2000, 6200)],
    [LARGE, seen(3000, 2000, 3500)],
    [{ width: 1024, height: 800 }, seen(500, 400, 100)],
    [{ width: 5000, height: 12 }, seen(2500, 6, 100)],
    [LARGE, seen(3000, 2000, 2000, { width: 300, height: 200 })],
    [LARGE, seen(-900, -900, 300)],
  ];
  for (const [picture, view] of whole) assert.equal(chooseRegion(picture, view), null);
});

test("every region is whole pixels inside the picture, shows everything seen, and is clearly finer than the whole", () => {
  const pictures = [LARGE, { width: 1025, height: 700 }, { width: 900, height: 9001 }, { width: 20_000, height: 17 }];
  let count = 0;
  for (const picture of pictures) {
    for (let k = 0; k < 400; k++) {
      const random = (n) => ((Math.imul(k + 1, 2654435761 + n * 40503) >>> 8) % 10_000) / 10_000;
      const view = seen(random(1) * picture.width, random(2) * picture.height, 40 + random(3) ** 3 * picture.width);
      const region = chooseRegion(picture, view);
      if (!region) continue;
      count++;
      const [x0, y0, x1, y1] = region;
      assert.ok(region.every(Number.isInteger));
      assert.ok(x0 >= 0 && y0 >= 0 && x1 <= picture.width && y1 <= picture.height && x1 - x0 >= 16 && y1 - y0 >= 16);
      assert.ok(1.5 * Math.max(x1 - x0, y1 - y0) <= Math.max(picture.width, picture.height));
      assert.ok(covers(region, view, picture), `${region} for ${JSON.stringify(view)}`);
    }
  }
  assert.ok(count > 500);
});

test("a region holds a prompt whose points and box lie in it", () => {
  const region = [100, 100, 400, 300];
  const at = (x, y) => ({ x, y, label: 1 });
  assert.ok(holds(region, { points: [at(100, 100), at(400, 300)], box: [120, 110, 380, 290] }));
  assert.ok(!holds(region, { points: [at(150, 150), at(150, 301)], box: null }));
  assert.ok(!holds(region, { points: [], box: [90, 110, 380, 290] }));
});

test("a mask is cut at an edge of the region that is not the picture's", () => {
  const size = { width: 1000, height: 800 };
  assert.ok(!isCut([100, 100, 400, 300], [150, 150, 50, 50], size));
  for (const bbox of [[100, 150, 9, 9], [150, 100, 9, 9], [391, 150, 9, 9], [150, 291, 9, 9]]) {
    assert.ok(isCut([100, 100, 400, 300], bbox, size));
  }
  assert.ok(!isCut([0, 0, 400, 300], [0, 0, 50, 50], size));
  assert.ok(!isCut([600, 500, 1000, 800], [900, 700, 100, 100], size));
  assert.ok(!isCut([100, 100, 400, 300], [0, 0, 0, 0], size));
});

test("a region is finer than the whole picture, and than a region that is clearly larger", () => {
  assert.ok(isFiner([0, 0, 512, 512], null));
  assert.ok(isFiner([0, 0, 512, 512], [0, 0, 768, 300]));
  assert.ok(!isFiner([0, 0, 512, 512], [0, 0, 512, 512]));
});
