import assert from "node:assert/strict";
import { test } from "node:test";

import * as objects from "../../prompt_api/web/objects.js";
import * as prompts from "../../prompt_api/web/prompts.js";
import { START, amend, commit, redo, shownStep, undo } from "../../prompt_api/web/timeline.js";

const here = { x: 10, y: 20, label: 1 };
const there = { x: 30, y: 40, label: 0 };

function clicked(line, point = here) {
  return commit(line, { step: prompts.withPoint(line.now.step, point) });
}

function answered(line, ...scores) {
  return amend(line, line.now.step.id, prompts.answerFields(scores.map((score) => ({ score }))));
}

function kept(line, label) {
  return commit(line, objects.keep(line.now, { id: line.nextId, label }));
}

test("undo brings back the masks and the choice of the state before, and redo those that were undone", () => {
  let line = answered(clicked(START), 0.9, 0.1);
  line = amend(line, line.now.step.id, { chosen: 1 });
  const refined = answered(clicked(line, there), 0.8);
  const back = undo(refined);
  assert.equal(back.now.step.points.length, 1);
  assert.equal(prompts.chosenMask(back.now.step).score, 0.1);
  assert.deepEqual(redo(back), refined);
});

test("at the ends of the timeline, undo and redo change nothing", () => {
  assert.equal(undo(START), START);
  assert.equal(redo(START), START);
});

test("a new action after an undo replaces what was undone", () => {
  const line = clicked(undo(clicked(START)), there);
  assert.equal(redo(line), line);
});

test("an answer that comes after its step was undone is there after a redo", () => {
  const asked = clicked(START);
  const back = amend(undo(asked), asked.now.step.id, prompts.answerFields([{ score: 0.9 }]));
  assert.equal(back.now.step.masks, null);
  assert.equal(prompts.chosenMask(redo(back).now.step).score, 0.9);
});

test("an answer to a step that is gone changes nothing", () => {
  const asked = clicked(START);
  const instead = clicked(undo(asked), there);
  assert.deepEqual(amend(instead, asked.now.step.id, prompts.answerFields([{ score: 0.9 }])), instead);
});

test("an answer that comes after the next click goes to its own step, and is shown until the next answer", () => {
  const first = clicked(START);
  const line = amend(clicked(first, there), first.now.step.id, prompts.answerFields([{ score: 0.9 }]));
  assert.equal(line.now.step.masks, null);
  assert.equal(shownStep(line).id, first.now.step.id);
});

test("after a clear, no earlier mask is shown before the next answer", () => {
  const cleared = commit(answered(clicked(START), 0.9), { step: prompts.BLANK });
  assert.equal(shownStep(clicked(cleared, here)).masks, null);
});

test("keeping and deleting an object can be undone", () => {
  const line = kept(answered(clicked(START), 0.9), "dog");
  const without = commit(line, objects.remove(line.now, line.now.objects[0].id));
  assert.deepEqual(without.now.objects, []);
  assert.deepEqual(undo(without).now.objects.map(({ label }) => label), ["dog"]);
  assert.deepEqual(undo(undo(without)).now.objects, []);
  assert.equal(prompts.chosenMask(undo(undo(without)).now.step).score, 0.9);
});

test("the number of past states is limited", () => {
  let line = START;
  for (let i = 0; i < 600; i++) line = clicked(line);
  assert.equal(line.past.length, 500);
});

test("no state is ever changed in place", () => {
  const line = clicked(START);
  const before = structuredClone(line);
  clicked(answered(line, 0.9), there);
  assert.deepEqual(line, before);
});

test("heavy strokes leave fewer past states, and light ones as many as before", () => {
  const stroke = (size) => ({ ...prompts.BLANK, drawn: { rle: { counts: "0".repeat(size) } }, masks: [{}] });
  let heavy = START;
  for (let i = 0; i < 30; i++) heavy = commit(heavy, { step: stroke(500_000) });
  assert.equal(heavy.past.length, 8);
  let light = START;
  for (let i = 0; i < 600; i++) light = commit(light, { step: stroke(100) });
  assert.equal(light.past.length, 500);
  const huge = commit(commit(START, { step: stroke(9_000_000) }), { step: stroke(9_000_000) });
  assert.equal(undo(huge).now.step.drawn.rle.counts.length, 9_000_000);
});
