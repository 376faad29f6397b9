/** The page cleans masks and writes polygons exactly as the API does. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { changesNothing, clean } from "../../prompt_api/web/cleaning.js";
import { polygons } from "../../prompt_api/web/polygons.js";

const vectors = JSON.parse(readFileSync(new URL("vectors/masks.json", import.meta.url), "utf8"));

vectors.forEach(({ rle, polygons: expected, cleaned }, number) => {
  const name = `mask ${number}, ${rle.size.join("x")}`;

  test(`${name}: the polygons within each tolerance are those of the API`, () => {
    for (const [tolerance, polygonsOfTheApi] of Object.entries(expected)) {
      assert.deepEqual(polygons({ rle }, Number(tolerance)), polygonsOfTheApi, `tolerance ${tolerance}`);
    }
  });

  test(`${name}: the cleaned masks are those of the API`, () => {
    for (const { rle: rleOfTheApi, area, bbox, ...options } of cleaned) {
      const mask = { rle, score: 0.5, mask_token: "t" };
      const found = clean(mask, options);
      const untouched = rle.counts === rleOfTheApi.counts;
      assert.deepEqual(found, untouched ? mask : { ...mask, rle: rleOfTheApi, area, bbox }, JSON.stringify(options));
    }
  });
});

test("a negative point is no click", () => {
  const rle = { size: [1, 5], counts: "0121" }; // one pixel, two of background, two pixels
  const pointed = (label) => clean({ rle }, { keep: "clicked", points: [{ x: 0.5, y: 0.5, label }] });
  assert.equal(pointed(1).area, 1);
  assert.equal(pointed(0).area, 2);
});

test("without options nothing changes", () => {
  const mask = { rle: { size: [2, 2], counts: "13" } };
  assert.equal(clean(mask, {}), mask);
  assert.ok(changesNothing({}));
  assert.ok(!changesNothing({ removeSpecks: 1 }));
});

test("runs that do not fill the mask are refused", () => {
  assert.throws(() => clean({ rle: { size: [2, 2], counts: "12" } }, { keep: "largest" }), RangeError);
  assert.throws(() => polygons({ rle: { size: [2, 2], counts: "15" } }), RangeError);
});
