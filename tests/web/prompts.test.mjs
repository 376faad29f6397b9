import assert from "node:assert/strict";
import { test } from "node:test";

import * as prompts from "../../prompt_api/web/prompts.js";

const here = { x: 10, y: 20, label: 1 };
const there = { x: 30, y: 40, label: 0 };

function answered(step, ...scores) {
  return { ...step, ...prompts.answerFields(scores.map((score, index) => ({ score, mask_token: `token-${index}` }))) };
}

test("before the first click there is nothing to ask", () => {
  assert.ok(prompts.isBlank(prompts.BLANK));
});

test("a first click asks for three masks and refines none", () => {
  assert.deepEqual(prompts.requestFor(prompts.withPoint(prompts.BLANK, here)), {
    prompts: [{ points: [[10, 20]], labels: [1] }],
    multimask: true,
    format: "rle",
  });
});

test("a hover sends the same request as a click there", () => {
  const click = prompts.withPoint(prompts.BLANK, here);
  assert.deepEqual(prompts.requestFor(prompts.hoverStep(10, 20)), prompts.requestFor(click));
});

test("the mask with the best score is chosen", () => {
  const step = answered(prompts.withPoint(prompts.BLANK, here), 0.4, 0.9, 0.6);
  assert.equal(prompts.chosenMask(step).mask_token, "token-1");
});

test("a second click refines the mask that the person chose, and asks for one mask", () => {
  const step = { ...answered(prompts.withPoint(prompts.BLANK, here), 0.4, 0.9, 0.6), chosen: 2 };
  assert.deepEqual(prompts.requestFor(prompts.withPoint(step, there)), {
    prompts: [{ points: [[10, 20], [30, 40]], labels: [1, 0], mask_token: "token-2" }],
    multimask: false,
    format: "rle",
  });
});

test("two clicks before the first answer ask with both points and no mask", () => {
  const step = prompts.withPoint(prompts.withPoint(prompts.BLANK, here), there);
  assert.equal(step.base, null);
  assert.equal(prompts.requestFor(step).multimask, true);
});

test("a click before a refinement is answered goes on refining the same mask", () => {
  const step = answered(prompts.withPoint(prompts.BLANK, here), 0.9);
  assert.equal(prompts.withPoint(prompts.withPoint(step, there), here).base, "token-0");
});

test("points that only exclude select nothing and leave nothing to ask", () => {
  const first = prompts.withPoint(prompts.BLANK, there);
  const second = prompts.withPoint(first, there);
  for (const step of [first, second]) {
    assert.ok(prompts.onlyExcludes(step));
    assert.deepEqual(step.masks, []);
    assert.equal(prompts.chosenMask(step), null);
  }
  const both = prompts.withPoint(second, here);
  assert.equal(both.masks, null);
  assert.deepEqual(prompts.requestFor(both), {
    prompts: [{ points: [[30, 40], [30, 40], [10, 20]], labels: [0, 0, 1] }],
    multimask: true,
    format: "rle",
  });
  assert.equal(prompts.withBox(first, [1, 2, 3, 4]).masks, null);
  const box = prompts.withBox(prompts.BLANK, [1, 2, 3, 4]);
  assert.equal(prompts.withPoint(box, there).masks, null);
});

test("a box keeps the points and refines no mask", () => {
  const step = answered(prompts.withPoint(prompts.BLANK, here), 0.9);
  assert.deepEqual(prompts.requestFor(prompts.withBox(step, [1, 2, 3, 4])), {
    prompts: [{ points: [[10, 20]], labels: [1], box: [1, 2, 3, 4] }],
    multimask: true,
    format: "rle",
  });
});

test("a step whose mask was forgotten can be asked with its points alone", () => {
  const step = prompts.withPoint(answered(prompts.withPoint(prompts.BLANK, here), 0.9), there);
  assert.equal("mask_token" in prompts.requestFor({ ...step, base: null }).prompts[0], false);
});

test("a mask of a region is refined by points in the region, and begins anew with a point outside", () => {
  const region = [100, 100, 400, 400];
  const step = { ...prompts.withPoint(prompts.BLANK, { x: 150, y: 150, label: 1 }), masks: [{ score: 0.9, mask_token: "r" }], region };
  const inside = prompts.withPoint(step, { x: 200, y: 200, label: 0 });
  assert.deepEqual([inside.base, inside.region], ["r", region]);
  const outside = prompts.withPoint(step, { x: 500, y: 200, label: 1 });
  assert.deepEqual([outside.base, outside.region, outside.points.length], [null, null, 2]);
});

test("a request names a region only if there is one", () => {
  const step = prompts.withPoint(prompts.BLANK, { x: 150, y: 150, label: 1 });
  assert.ok(!("region" in prompts.requestFor(step)));
  assert.deepEqual(prompts.requestFor(step, [100, 100, 400, 400]).region, [100, 100, 400, 400]);
});
