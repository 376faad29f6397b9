import assert from "node:assert/strict";
import { test } from "node:test";

import { fromFile, fromSession, isSame } from "../../prompt_api/web/picture-source.js";
import { pictureRecord, restored, restoredClasses, workRecord } from "../../prompt_api/web/session-records.js";
import { BLANK, withPoint } from "../../prompt_api/web/prompts.js";
import { START, commit, redo, undo } from "../../prompt_api/web/timeline.js";

const FILE = { name: "a.jpg", size: 5, lastModified: 7 };
const MASK = { score: 0.9, area: 4, bbox: [0, 0, 2, 2], rle: { size: [4, 4], counts: "022" }, mask_token: "t" };

function entryWith(timeline, fields = {}) {
  const source = fromFile(FILE, "trip");
  const entry = { id: 3, source, size: { width: 4, height: 4 }, thumbnail: null, hash: "h", timeline };
  return { ...entry, hidden: new Set([2]), view: null, done: true, savedObjects: [], ...fields };
}

/** What comes back from the database: copies. */
function afterReload(entry) {
  return restored(structuredClone(pictureRecord(entry)), structuredClone(workRecord(entry)));
}

test("a picture comes back with its objects, its undo and its marks", () => {
  const step = { ...withPoint(BLANK, { x: 1, y: 2, label: 1 }), masks: [MASK], chosen: 0 };
  const clicked = commit(START, { step });
  const kept = commit(clicked, { step: BLANK, objects: [{ id: 1, label: "cat", colour: "#111111", step }] });
  const entry = entryWith(undo(kept));
  const again = afterReload(entry);
  assert.deepEqual(again.timeline, entry.timeline);
  assert.deepEqual(redo(again.timeline).now.objects[0].step.masks, [MASK]);
  assert.deepEqual([...again.hidden], [2]);
  assert.deepEqual([again.done, again.hash, again.size], [true, "h", { width: 4, height: 4 }]);
});

test("a mask that many states of undo have is stored once", () => {
  const step = { ...BLANK, masks: [{ ...MASK, rle: { size: [4, 4], counts: "0".repeat(100_000) } }] };
  let line = START;
  for (let id = 1; id < 50; id++) line = commit(line, { objects: [...line.now.objects, { id, label: "x", step }] });
  const { timeline } = structuredClone(workRecord(entryWith(line)));
  const [first, ...others] = timeline.now.objects;
  assert.ok(others.every((object) => object.step === first.step));
});

test("whether objects were exported is remembered", () => {
  const timeline = commit(START, { objects: [{ id: 1, label: "cat", colour: "#111111", step: BLANK }] });
  const saved = afterReload(entryWith(timeline, { savedObjects: timeline.now.objects }));
  assert.equal(saved.savedObjects, saved.timeline.now.objects);
  assert.deepEqual(afterReload(entryWith(timeline)).savedObjects, []);
});

test("a damaged record costs only itself", () => {
  const picture = pictureRecord(entryWith(START));
  for (const work of [undefined, null, 5, {}, { timeline: {}, hidden: [] }, { timeline: { ...START, past: [null] }, hidden: [] }]) {
    assert.equal(restored(picture, work).timeline, START);
  }
  for (const damaged of [null, {}, { ...picture, id: "3" }, { ...picture, size: {} }]) assert.equal(restored(damaged), null);
  const classes = [{ name: "a", colour: "#123456" }, { name: 5, colour: "#123456" }, { name: "b", colour: "red" }, null];
  assert.deepEqual(restoredClasses({ classes }), classes.slice(0, 1));
  assert.deepEqual(restoredClasses(undefined), []);
});

test("a file that the browser did not keep is asked for", async () => {
  const source = fromSession(pictureRecord(entryWith(START)), async () => null);
  await assert.rejects(source.open(), { code: "file-missing", detail: "it is called a.jpg" });
  assert.equal(source.isMissing, true);
  assert.ok(isSame(source, fromFile(FILE, "trip")));
  assert.ok(isSame(source, fromFile(FILE)));
  assert.ok(!isSame(source, fromFile(FILE, "other trip")));
  assert.ok(!isSame(source, fromFile({ ...FILE, size: 6 }, "trip")));
});
