import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { BLANK, withPoint } from "../../prompt_api/web/prompts.js";
import { signFor } from "../../prompt_api/web/region-sign.js";
import { Sharpening } from "../../prompt_api/web/sharpening.js";
import { START, amend, commit, undo } from "../../prompt_api/web/timeline.js";

const REGION = [1000, 1000, 1512, 1512];
const size = { width: 6000, height: 4000 };
const coarse = [0.9, 0.7, 0.8].map((score) => ({ score, area: 900, bbox: [1100, 1100, 300, 300], mask_token: "w" }));
const fine = [0.5, 0.8, 0.95].map((score) => ({ score, area: 700, bbox: [1150, 1150, 200, 200], mask_token: "r" }));
const point = { x: 1200, y: 1200, label: 1 };

let said;
beforeEach(() => {
  said = { textContent: "" };
  globalThis.document = { getElementById: () => said };
});

/** A picture whose present step has the coarse masks, and a region that is ready. */
function about({ masks = coarse, region = REGION } = {}) {
  const entry = { size, image: {}, timeline: commit(START, { step: withPoint(BLANK, point) }) };
  entry.timeline = amend(entry.timeline, entry.timeline.now.step.id, { masks, chosen: 0 });
  const asked = [];
  const state = { entry, asked, around: [], region, drawing: false, renders: 0 };
  state.sharpening = new Sharpening(
    { current: entry },
    { render: () => state.renders++ },
    { submit: (job) => asked.push(job) },
    { finerFor: () => state.region, lookAround: (_entry, bbox) => state.around.push(bbox) },
    () => state.drawing,
  );
  state.answer = (job, given = fine) => state.sharpening.receive(job, { results: [{ masks: given }] });
  return state;
}

test("the masks of the present step are replaced in place, and the best one is chosen", () => {
  const { sharpening, entry, asked, answer } = about();
  sharpening.consider();
  assert.deepEqual([asked[0].finer, asked[0].isHover], [REGION, false]);
  const { past } = entry.timeline;
  answer(asked[0]);
  const { masks, chosen, region } = entry.timeline.now.step;
  assert.deepEqual([masks, chosen, region], [fine, 2, REGION]);
  assert.equal(entry.timeline.past.length, past.length);
  assert.match(said.textContent, /^Sharper\. 3 masks\. Mask 3, score 0\.95/);
});

test("a mask that the person has chosen stays chosen", () => {
  const { sharpening, entry, asked, answer } = about();
  sharpening.consider();
  entry.timeline = amend(entry.timeline, entry.timeline.now.step.id, { chosen: 1 });
  answer(asked[0]);
  assert.equal(entry.timeline.now.step.chosen, 1);
});

test("a step is asked once for a region", () => {
  const { sharpening, asked } = about();
  for (let k = 0; k < 3; k++) sharpening.consider();
  assert.equal(asked.length, 1);
});

test("a region that has just been found too small is not asked", () => {
  const { sharpening, entry, asked } = about();
  sharpening.note({ step: entry.timeline.now.step }, { unfit: REGION });
  sharpening.consider();
  assert.equal(asked.length, 0);
});

const GONE_ON = {
  "another point": (entry) => (entry.timeline = commit(entry.timeline, { step: withPoint(entry.timeline.now.step, point) })),
  undo: (entry) => (entry.timeline = undo(entry.timeline)),
  keeping: (entry) => {
    const { step } = entry.timeline.now;
    entry.timeline = commit(entry.timeline, { step: BLANK, objects: [{ id: 9, step }], editing: null });
  },
  "taking up a kept object": (entry) => {
    const { step } = entry.timeline.now;
    entry.timeline = { ...entry.timeline, now: { step, objects: [{ id: 9, step }], editing: 9 } };
  },
  "another answer": (entry) => {
    entry.timeline = amend(entry.timeline, entry.timeline.now.step.id, { masks: [...coarse] });
  },
};

for (const [what, goOn] of Object.entries(GONE_ON)) {
  test(`after ${what} a finer answer changes nothing`, () => {
    const state = about();
    const { sharpening, entry, asked, answer } = state;
    sharpening.consider();
    goOn(entry);
    const { timeline } = entry;
    answer(asked[0]);
    assert.equal(entry.timeline, timeline);
    assert.equal(state.renders, 0);
  });
}

test("a finer answer on a picture that is no longer shown changes nothing", () => {
  const { sharpening, entry, asked, answer } = about();
  sharpening.consider();
  const left = { ...entry };
  answer({ ...asked[0], entry: left });
  assert.equal(left.timeline, entry.timeline);
});

test("a mask is not replaced under a stroke of the brush", () => {
  const state = about();
  state.sharpening.consider();
  state.drawing = true;
  const { timeline } = state.entry;
  state.answer(state.asked[0]);
  assert.equal(state.entry.timeline, timeline);
});

const NOTHING = {
  "the mask is drawn by hand": { masks: [{ ...coarse[0], mask_token: null }] },
  "there is no mask": { masks: null },
};

for (const [why, how] of Object.entries(NOTHING)) {
  test(`nothing is asked when ${why}`, () => {
    const { sharpening, asked, around } = about(how);
    sharpening.consider();
    assert.deepEqual([asked, around], [[], []]);
  });
}

for (const [why, how] of [["no region is ready", { region: null }], ["it is larger than the region", { region: [1000, 1000, 1300, 1300] }]]) {
  test(`a region around the object is looked for when ${why}`, () => {
    const { sharpening, asked, around } = about(how);
    sharpening.consider();
    assert.deepEqual([asked, around], [[], [coarse[0].bbox]]);
  });
}

test("a mask of a region is asked again only for a clearly finer one", () => {
  for (const [before, count] of [[[900, 900, 1412, 1412], 0], [[512, 512, 2560, 2560], 1]]) {
    const { sharpening, entry, asked } = about();
    entry.timeline = amend(entry.timeline, entry.timeline.now.step.id, { region: before });
    sharpening.consider();
    assert.equal(asked.length, count);
  }
});

test("the sign says which part answered, and what is on its way", () => {
  const whole = { ...BLANK, points: [point], masks: coarse, region: null };
  const part = { ...whole, region: REGION };
  assert.equal(signFor(whole, "none", size), "Mask from the whole picture");
  assert.equal(signFor(whole, "pending", size), "Mask from the whole picture · the visible part is being encoded");
  assert.equal(signFor(part, "ready", size), "Mask from a part of the picture");
  assert.equal(signFor(BLANK, "ready", size), "The visible part is ready");
  assert.equal(signFor(BLANK, "refused", size), "");
  assert.equal(signFor(whole, "finding", size), "Mask from the whole picture · a finer one is on its way");
  assert.equal(signFor(BLANK, "finding", size), "");
  assert.equal(signFor(whole, "none", { width: 1000, height: 900 }), "");
});
