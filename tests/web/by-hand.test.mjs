import assert from "node:assert/strict";
import { test } from "node:test";

import { groundOf, painted } from "../../prompt_api/web/by-hand.js";
import { edgesOf, maskFrom } from "../../prompt_api/web/mask-edges.js";
import { maskOf } from "../../prompt_api/web/objects.js";
import { objectAt } from "../../prompt_api/web/picking.js";
import { BLANK, answerFields, chosenMask, isBlank, onlyExcludes, requestFor, withBox, withPoint } from "../../prompt_api/web/prompts.js";
import { START, amend, commit, undo } from "../../prompt_api/web/timeline.js";

const SIZE = [10, 20];
/** A mask of the columns `from` to `to`. */
const columns = (from, to) => maskFrom(Uint32Array.of(from * 10, to * 10), SIZE);
const answered = (mask, token = "t") => ({ ...mask, score: 0.9, mask_token: token });
const kept = (id, mask) => ({ id, label: "dog", colour: "#000000", step: { ...BLANK, id, masks: [mask] } });

function clicked(...points) {
  let line = START;
  for (const point of points) {
    line = commit(line, { step: withPoint(line.now.step, point) });
    line = amend(line, line.now.step.id, answerFields([answered(columns(2, 8))]));
  }
  return line;
}

test("a stroke changes the present mask, else the selected object, else nothing that is there yet", () => {
  const line = clicked({ x: 5, y: 5, label: 1 });
  assert.deepEqual(groundOf(line, 7), { target: null, mask: chosenMask(line.now.step) });
  const object = kept(7, columns(0, 3));
  const blank = commit(START, { objects: [object] });
  assert.deepEqual(groundOf(blank, 7), { target: 7, mask: maskOf(object) });
  assert.deepEqual(groundOf(blank, 8), { target: null, mask: null });
});

test("a prompt that waits for its answer is painted on the mask that is shown", () => {
  const line = clicked({ x: 5, y: 5, label: 1 });
  const waiting = commit(line, { step: withPoint(line.now.step, { x: 6, y: 5, label: 1 }) });
  assert.equal(groundOf(waiting, null).mask, chosenMask(line.now.step));
});

test("a painted mask keeps the points and the box that it agrees with", () => {
  const inside = { x: 5, y: 5, label: 1 };
  const outside = { x: 15, y: 5, label: 0 };
  const erased = { x: 2, y: 2, label: 1 };
  const { step } = painted(clicked(inside, outside, erased).now, null, columns(4, 9));
  assert.deepEqual(step.points, [inside, outside]);
  const boxed = (box) => painted({ step: withBox(BLANK, box), objects: [], editing: null }, null, columns(4, 9)).step.box;
  assert.deepEqual(boxed([3, 0, 10, 10]), [3, 0, 10, 10]);
  assert.equal(boxed([5, 0, 10, 10]), null);
});

test("one stroke is undone in one step", () => {
  const line = clicked({ x: 5, y: 5, label: 1 });
  const after = commit(line, painted(line.now, null, columns(1, 9)));
  assert.equal(chosenMask(after.now.step).area, 80);
  assert.equal(isBlank(after.now.step), false);
  assert.equal(chosenMask(undo(after).now.step).area, 60);
});

test("the next prompt is asked together with the painted mask, and the one after it with its answer's token", () => {
  const line = clicked({ x: 5, y: 5, label: 1 });
  const mask = columns(1, 9);
  const { step } = painted(line.now, null, mask);
  const refined = withPoint(step, { x: 1, y: 1, label: 0 });
  assert.deepEqual(requestFor(refined), {
    prompts: [{ points: [[5, 5], [1, 1]], labels: [1, 0], mask: { rle: mask.rle } }],
    multimask: false,
    format: "rle",
  });
  const next = withPoint({ ...refined, ...answerFields([answered(columns(2, 9), "next")]) }, { x: 9, y: 1, label: 1 });
  assert.equal(requestFor(next).prompts[0].mask_token, "next");
  assert.equal("mask" in requestFor(next).prompts[0], false);
});

test("a negative click on a mask that was painted from nothing is asked, unlike one on nothing", () => {
  const { step } = painted(START.now, null, columns(1, 9));
  const refined = withPoint(step, { x: 1, y: 1, label: 0 });
  assert.equal(onlyExcludes(refined), false);
  assert.equal(refined.masks, null);
  assert.equal(onlyExcludes(withPoint(BLANK, { x: 1, y: 1, label: 0 })), true);
});

test("a kept object is painted in its place, and is removed when all of it is erased", () => {
  const state = { step: BLANK, objects: [kept(1, columns(0, 3)), kept(2, columns(5, 9))], editing: null };
  const { objects } = painted(state, 1, columns(0, 5));
  assert.deepEqual(objects.map((object) => [object.id, maskOf(object).area]), [[1, 50], [2, 40]]);
  const empty = maskFrom(new Uint32Array(0), SIZE);
  assert.deepEqual(painted(state, 1, empty).objects.map(({ id }) => id), [2]);
  assert.equal(painted(state, null, empty).step, BLANK);
  assert.equal(painted(state, 3, columns(0, 5)), null);
});

test("a click means the smallest visible object under it", () => {
  const list = [kept(1, columns(0, 9)), kept(2, columns(4, 6)), kept(3, columns(3, 8))];
  const at = (x, hidden = []) => objectAt(list, new Set(hidden), { x, y: 9.9 })?.id ?? null;
  assert.deepEqual([at(0), at(3.5), at(5.99), at(6), at(9)], [1, 3, 2, 3, null]);
  assert.equal(at(5, [2, 3]), 1);
  assert.equal(edgesOf(maskOf(list[0]).rle).length, 2);
});
