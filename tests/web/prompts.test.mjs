import assert from "node:assert/strict";
import { test } from "node:test";

import * as prompts from "../../prompt_api/web/prompts.js";

const here = { x: 10, y: 20, label: 1 };
const there = { x: 30, y: 40, label: 0 };

function masks(...scores) {
  return scores.map((score, index) => ({ score, mask_token: `token-${index}` }));
}

function answered(history, ...scores) {
  return prompts.answer(history, prompts.current(history).id, masks(...scores));
}

test("before the first click there is nothing to ask", () => {
  assert.ok(prompts.isBlank(prompts.current(prompts.NOTHING)));
});

test("a first click asks for three masks and refines none", () => {
  const step = prompts.current(prompts.addPoint(prompts.NOTHING, here));
  assert.deepEqual(prompts.requestFor(step), {
    prompts: [{ points: [[10, 20]], labels: [1] }],
    multimask: true,
    format: "rle",
  });
});

test("the mask with the best score is chosen", () => {
  const history = answered(prompts.addPoint(prompts.NOTHING, here), 0.4, 0.9, 0.6);
  assert.equal(prompts.chosenMask(prompts.current(history)).mask_token, "token-1");
});

test("a second click refines the mask the person chose, into one mask", () => {
  let history = answered(prompts.addPoint(prompts.NOTHING, here), 0.4, 0.9, 0.6);
  history = prompts.addPoint(prompts.choose(history, 2), there);
  assert.deepEqual(prompts.requestFor(prompts.current(history)), {
    prompts: [{ points: [[10, 20], [30, 40]], labels: [1, 0], mask_token: "token-2" }],
    multimask: false,
    format: "rle",
  });
});

test("two clicks before the first answer ask with both points and no mask", () => {
  const history = prompts.addPoint(prompts.addPoint(prompts.NOTHING, here), there);
  assert.equal(prompts.current(history).base, null);
  assert.equal(prompts.requestFor(prompts.current(history)).multimask, true);
});

test("a click before a refinement is answered goes on refining the same mask", () => {
  let history = answered(prompts.addPoint(prompts.NOTHING, here), 0.9);
  history = prompts.addPoint(prompts.addPoint(history, there), here);
  assert.equal(prompts.current(history).base, "token-0");
});

test("a box keeps the points and starts afresh", () => {
  let history = answered(prompts.addPoint(prompts.NOTHING, here), 0.9);
  history = prompts.setBox(history, [1, 2, 3, 4]);
  assert.deepEqual(prompts.requestFor(prompts.current(history)), {
    prompts: [{ points: [[10, 20]], labels: [1], box: [1, 2, 3, 4] }],
    multimask: true,
    format: "rle",
  });
});

test("undo brings back the masks and the choice of the step before", () => {
  let history = answered(prompts.addPoint(prompts.NOTHING, here), 0.9, 0.1);
  history = prompts.addPoint(prompts.choose(history, 1), there);
  const step = prompts.current(prompts.undo(history));
  assert.equal(step.points.length, 1);
  assert.equal(prompts.chosenMask(step).mask_token, "token-1");
});

test("clear can be undone", () => {
  const history = prompts.clear(answered(prompts.addPoint(prompts.NOTHING, here), 0.9));
  assert.ok(prompts.isBlank(prompts.current(history)));
  assert.equal(prompts.chosenMask(prompts.current(prompts.undo(history))).score, 0.9);
});

test("clearing nothing changes nothing", () => {
  assert.equal(prompts.clear(prompts.NOTHING), prompts.NOTHING);
});

test("an answer that comes after its step was undone changes nothing", () => {
  const asked = prompts.addPoint(prompts.NOTHING, here);
  const { id } = prompts.current(asked);
  const instead = prompts.addPoint(prompts.undo(asked), there);
  assert.deepEqual(prompts.answer(instead, id, masks(0.9)), instead);
});

test("an answer that comes after the next click goes to its own step", () => {
  const first = prompts.addPoint(prompts.NOTHING, here);
  const second = prompts.addPoint(first, there);
  const history = prompts.answer(second, prompts.current(first).id, masks(0.9));
  assert.equal(prompts.current(history).masks, null);
  assert.equal(prompts.shownStep(history).id, prompts.current(first).id);
});

test("after a clear, nothing of what was before is shown while the next answer is awaited", () => {
  let history = prompts.clear(answered(prompts.addPoint(prompts.NOTHING, here), 0.9));
  history = prompts.addPoint(history, there);
  assert.equal(prompts.shownStep(history).masks, null);
});

test("choosing a mask that is not there changes nothing", () => {
  const history = answered(prompts.addPoint(prompts.NOTHING, here), 0.9);
  assert.equal(prompts.choose(history, 2), history);
});

test("a step whose mask was forgotten can be asked by its points alone", () => {
  let history = answered(prompts.addPoint(prompts.NOTHING, here), 0.9);
  history = prompts.addPoint(history, there);
  history = prompts.withoutBase(history, prompts.current(history).id);
  assert.equal("mask_token" in prompts.requestFor(prompts.current(history)).prompts[0], false);
});

test("no step is ever changed in place", () => {
  const history = prompts.addPoint(prompts.NOTHING, here);
  const before = structuredClone(history);
  prompts.addPoint(answered(history, 0.9), there);
  assert.deepEqual(history, before);
});
