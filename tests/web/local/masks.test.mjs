import assert from "node:assert/strict";
import { test } from "node:test";

import { maskRuns } from "../../../prompt_api/web/local/boundary.js";
import { lowResLogits } from "../../../prompt_api/web/local/given-mask.js";
import { areaOf, boxOf, encodeRle } from "../../../prompt_api/web/local/runs.js";
import { decodeRuns } from "../../../prompt_api/web/rle.js";
import { digest, hill, vectors } from "./vectors.mjs";

for (const { size, hill: form, area, bbox, counts, given } of vectors.masks) {
  test(`the mask of ${JSON.stringify(form)} at ${size} is the service's, bit for bit`, () => {
    const runs = maskRuns(hill(form), size);
    assert.equal(areaOf(runs), area);
    assert.deepEqual(boxOf(runs), bbox);
    const rle = encodeRle(runs);
    assert.deepEqual(rle.size, size);
    assert.equal(digest(rle.counts), counts);
  });

  test(`the mask of ${JSON.stringify(form)} at ${size} as a prompt is the service's too`, () => {
    assert.equal(digest(lowResLogits(maskRuns(hill(form), size), size, [0, 0])), given);
  });
}

for (const { size, hill: form, region, logits } of vectors.in_region) {
  test(`the mask of ${JSON.stringify(form)} at ${size} as a prompt in the region ${region} is the service's`, () => {
    const [x0, y0, x1, y1] = region;
    assert.equal(digest(lowResLogits(maskRuns(hill(form), size), [y1 - y0, x1 - x0], [x0, y0])), logits);
  });
}

test("the page reads the runs that were written", () => {
  const size = [9, 4];
  const [x, top, bottom] = [[0, 1, 1, 3], [5, 0, 4, 0], [9, 2, 6, 9]].map((values) => Int32Array.from(values));
  const runs = { size, x, top, bottom };
  assert.deepEqual(decodeRuns(encodeRle(runs).counts), [5, 6, 2, 2, 12, 9]);
});
