import assert from "node:assert/strict";
import { test } from "node:test";

import { Gallery, isLabelled } from "../../prompt_api/web/gallery.js";
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
  assert.deepEqual([entry.image, entry.error, entry.preview, entry.progress], [null, null, null, null]);
});

test("a step that selects nothing stays answered", () => {
  const step = { ...BLANK, points: [{ x: 1, y: 2, label: 0 }], masks: [] };
  const entry = entryWith({ step });
  new Gallery().forgetAnswers(entry);
  assert.deepEqual(entry.timeline.now.step.masks, []);
});

function galleryOf(count) {
  const gallery = new Gallery();
  for (let number = 0; number < count; number++) gallery.add({ name: `${number}.jpg` }, { size: null, thumbnail: null });
  [gallery.current] = gallery.entries;
  return gallery;
}

const namesOf = (entries) => entries.map(({ name }) => name);

test("the next picture without objects or a mark is found, also before the current one, until all are labelled", () => {
  const gallery = galleryOf(4);
  const [first, second, third, fourth] = gallery.entries;
  second.timeline = commit(START, { objects: [{ id: 1 }] });
  third.done = true;
  assert.deepEqual([first, second, third].map(isLabelled), [false, true, true]);
  assert.equal(gallery.nextUnlabelled(), fourth);
  fourth.done = true;
  gallery.current = fourth;
  assert.equal(gallery.nextUnlabelled(), first);
  first.done = true;
  assert.equal(gallery.nextUnlabelled(), null);
});

test("the pictures to prepare are the current one and the next ones, each once", () => {
  const gallery = galleryOf(4);
  assert.deepEqual(namesOf(gallery.ahead(2)), ["0.jpg", "1.jpg", "2.jpg"]);
  gallery.current = gallery.entries[3];
  assert.deepEqual(namesOf(gallery.ahead(2)), ["3.jpg", "0.jpg", "1.jpg"]);
  assert.deepEqual(namesOf(galleryOf(2).ahead(2)), ["0.jpg", "1.jpg"]);
  gallery.current = null;
  assert.deepEqual(gallery.ahead(2), []);
});

test("a picture of an earlier visit has its old id, and a new one gets an id of its own", () => {
  const gallery = new Gallery();
  gallery.restore(7, { name: "old.jpg" }, {});
  assert.equal(gallery.add({ name: "new.jpg" }, {}).id, 8);
});
