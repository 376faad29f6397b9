import assert from "node:assert/strict";
import { test } from "node:test";

import * as objects from "../../prompt_api/web/objects.js";
import { BLANK, withPoint } from "../../prompt_api/web/prompts.js";

const step = { ...withPoint(BLANK, { x: 1, y: 2, label: 1 }), id: 7, masks: [{ score: 0.9 }], chosen: 0 };

const RED = "#ff0000";

function stateWith(...labels) {
  let state = { step: BLANK, objects: [], editing: null };
  labels.forEach((label, index) => {
    state = { ...state, ...objects.keep({ ...state, step }, { id: index + 1, label, colour: RED }) };
  });
  return state;
}

test("a kept object has its prompt, its mask and its label, and the prompt is blank again", () => {
  const state = stateWith("dog");
  assert.equal(state.step, BLANK);
  assert.deepEqual(state.objects, [{ id: 1, label: "dog", colour: RED, step }]);
  assert.equal(objects.maskOf(state.objects[0]).score, 0.9);
});

test("there is nothing to keep before the answer", () => {
  assert.equal(objects.keep({ step: { ...step, masks: null }, objects: [], editing: null }, { id: 1, label: "" }), null);
});

test("an object without a label is called object, and a label is one line of at most sixty characters", () => {
  const [plain, long] = stateWith("  ", ` a\n${"b".repeat(80)}`).objects;
  assert.equal(plain.label, "object");
  assert.equal(long.label, `a ${"b".repeat(58)}`);
});

test("an object that is edited and kept again has the same id and place", () => {
  const state = stateWith("dog", "cat");
  const again = { ...state, ...objects.reselect(state, 1) };
  assert.equal(again.step, step);
  const better = { ...step, masks: [{ score: 0.95 }] };
  const { objects: list, editing } = objects.keep({ ...again, step: better }, { id: 9, label: "puppy", colour: "#00ff00" });
  assert.deepEqual(list.map(({ id, label }) => [id, label]), [[1, "puppy"], [2, "cat"]]);
  assert.equal(list[0].colour, "#00ff00");
  assert.equal(objects.maskOf(list[0]).score, 0.95);
  assert.equal(editing, null);
});

test("deleting the object being edited clears its prompt, and deleting another does not", () => {
  const state = { ...stateWith("dog", "cat"), step, editing: 1 };
  assert.equal(objects.remove(state, 1).step, BLANK);
  assert.equal("step" in objects.remove(state, 2), false);
});

test("an object can be given to another class, and the others stay the same", () => {
  const state = stateWith("dog", "cat");
  const { objects: list } = objects.relabel(state, 2, " lynx", "#123456");
  assert.deepEqual(list.map(({ label, colour }) => [label, colour]), [["dog", RED], ["lynx", "#123456"]]);
  assert.equal(list[0], state.objects[0]);
});

test("labels are listed once, in the order of first use", () => {
  assert.deepEqual(objects.labelsOf(stateWith("b", "a", "b").objects), ["b", "a"]);
});
