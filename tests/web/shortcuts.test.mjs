import assert from "node:assert/strict";
import { test } from "node:test";

import { actionFor } from "../../prompt_api/web/shortcuts.js";

function pressed(key, held = {}) {
  return { key, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...held };
}

test("Ctrl or Cmd with Z undoes; with Shift and Z, or with Y, it redoes", () => {
  const on = { letters: true };
  assert.equal(actionFor(pressed("z", { ctrlKey: true }), on), "undo");
  assert.equal(actionFor(pressed("z", { metaKey: true }), on), "undo");
  assert.equal(actionFor(pressed("Z", { ctrlKey: true, shiftKey: true }), on), "redo");
  assert.equal(actionFor(pressed("y", { ctrlKey: true }), on), "redo");
});

test("the browser keeps its own keys", () => {
  for (const key of ["c", "f", "a", "p", "1"]) {
    assert.equal(actionFor(pressed(key, { ctrlKey: true }), { letters: true }), null);
    assert.equal(actionFor(pressed(key, { altKey: true }), { letters: true }), null);
  }
});

test("when single letters are switched off they do nothing, and Ctrl with Z still undoes", () => {
  assert.equal(actionFor(pressed("k"), { letters: true }), "keep");
  assert.equal(actionFor(pressed("k"), { letters: false }), null);
  assert.equal(actionFor(pressed("z", { ctrlKey: true }), { letters: false }), "undo");
});

test("every digit has an action of its own", () => {
  const actions = [..."1234567890"].map((key) => actionFor(pressed(key), { letters: true }));
  assert.equal(new Set(actions).size, 10);
  assert.equal(actions.at(-1), "digit-0");
});
