import assert from "node:assert/strict";
import { test } from "node:test";

import { Gallery } from "../../prompt_api/web/gallery.js";
import { BLANK } from "../../prompt_api/web/prompts.js";
import { START, commit } from "../../prompt_api/web/timeline.js";

const MASK = { mask_token: "t" };

function entryWith(changes) {
  return { image: {}, error: {}, preview: {}, progress: null, timeline: commit(START, changes) };
}

test("for another model, the present step is asked again without what the first model answered", () => {
  const step = { ...BLANK, points: [{ x: 1, y: 2, label: 1 }], base: "t", masks: [MASK], chosen: 2 };
  const entry = entryWith({ step, objects: [{ id: 9 }] });
  new Gallery().forgetAnswers(entry);
  const { now } = entry.timeline;
  assert.deepEqual(now.step.points, step.points);
  assert.deepEqual([now.step.masks, now.step.base, now.step.chosen], [null, null, 0]);
  assert.deepEqual(now.objects, [{ id: 9 }]);
  assert.deepEqual([entry.image, entry.error, entry.preview, entry.progress], [null, null, null, { step: "waiting" }]);
});

test("a step that selects nothing stays answered", () => {
  const step = { ...BLANK, points: [{ x: 1, y: 2, label: 0 }], masks: [] };
  const entry = entryWith({ step });
  new Gallery().forgetAnswers(entry);
  assert.deepEqual(entry.timeline.now.step.masks, []);
});
