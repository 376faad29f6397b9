import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../prompt_api/web/conversation.js";
import { Problem } from "../../prompt_api/web/problems.js";
import { BLANK, answerFields, hoverStep, withPoint } from "../../prompt_api/web/prompts.js";
import { START, commit } from "../../prompt_api/web/timeline.js";

const masks = [{ score: 0.9, mask_token: "t", bbox: [120, 110, 40, 30] }];
const good = { results: [{ masks }], times: { total: 1, inside: 1 } };
const whole = { ...good, region: null, unfit: null };
const size = { width: 4000, height: 3000 };
const region = [100, 100, 400, 400];
const cut = { ...good, results: [{ masks: [{ ...masks[0], bbox: [120, 110, 280, 30] }] }] };

/** A conversation about one picture, with a decoder that follows the script and a listener that records its calls. */
function about(...script) {
  const asked = [];
  const heard = [];
  const image = { image_id: "id" };
  const entry = { image, size, controller: new AbortController(), recoveries: 0, preview: null, timeline: START, region: null };
  const decoder = {
    masks: async (_image, request) => {
      asked.push(request);
      const next = await script.shift();
      if (next instanceof Error) throw next;
      return next;
    },
  };
  let conversation;
  const settled = new Promise((resolve) => {
    const note = (kind) => (...details) => (heard.push([kind, ...details]), resolve());
    conversation = new Conversation(decoder, {
      onAnswer: (_job, answer) => {
        if (entry.cannotShow) throw new Error("cannot show it");
        note("answer")(answer);
      },
      onProblem: (_entry, error) => note("problem")(error.code),
      onProgress: (progress) => progress && heard.push(["progress", progress.step]),
      encodeAgain: () => {
        note("encode again")();
        return entry.encoding;
      },
      onLocalFailure: (error) => heard.push(["local failure", error.code]),
      isCurrent: () => true,
      regionFor: () => entry.region,
      onRegionLost: (_entry, lost) => {
        heard.push(["lost", lost]);
        entry.region = null;
      },
    });
    entry.ask = (step, isHover = false, more = {}) => conversation.submit({ entry, step, isHover, since: 0, ...more });
  });
  return { asked, heard, entry, settled, conversation };
}

const click = { ...withPoint(BLANK, { x: 1, y: 2, label: 1 }), id: 1 };

test("the listener gets an answer once", async () => {
  const { heard, entry, settled } = about(good);
  entry.ask(click);
  await settled;
  assert.deepEqual(heard, [["answer", whole]]);
});

test("a click where the pointer rested gets the hover's answer", async () => {
  const { asked, heard, entry, settled } = about(good);
  entry.ask(hoverStep(1, 2), true);
  await settled;
  entry.ask(click);
  await new Promise(setImmediate);
  assert.equal(asked.length, 1);
  assert.equal(heard.length, 2);
});

test("a hover that fails is not reported, and hovers pause for a while", async () => {
  const { asked, heard, entry } = about(new Problem("overloaded", { status: 503, retryAfter: 5 }), good);
  entry.ask(hoverStep(1, 2), true);
  await new Promise(setImmediate);
  entry.ask(hoverStep(3, 4), true);
  await new Promise(setImmediate);
  assert.equal(asked.length, 1);
  assert.deepEqual(heard, []);
});

test("an answer that the page cannot show is a fault of the page, also where it was a preview", async (t) => {
  const shown = t.mock.method(console, "error", () => {});
  const { asked, heard, entry, settled } = about(good, good);
  entry.cannotShow = true;
  entry.ask(hoverStep(1, 2), true);
  await settled;
  entry.cannotShow = false;
  entry.ask(hoverStep(3, 4), true);
  await new Promise(setImmediate);
  assert.deepEqual(shown.mock.calls.map(({ arguments: [error] }) => error.message), ["cannot show it"]);
  assert.equal(asked.length, 2);
  assert.deepEqual(heard.map(([kind]) => kind), ["problem", "answer"]);
});

test("a mask that the service has forgotten is left out, and the points are sent alone", async () => {
  const { asked, entry, settled } = about(new Problem("invalid-prompt", { status: 422 }), good);
  const base = { ...click, ...answerFields(masks) };
  entry.timeline = commit(START, { step: withPoint(base, { x: 3, y: 4, label: 0 }) });
  entry.ask(entry.timeline.now.step);
  await settled;
  assert.deepEqual(asked.map(({ prompts: [prompt] }) => prompt.mask_token), ["t", undefined]);
  assert.equal(entry.timeline.now.step.base, null);
});

test("a picture that the service has lost is encoded again, three times at most", async () => {
  for (const [recoveries, outcome] of [[0, "encode again"], [3, "problem"]]) {
    const { heard, entry, settled } = about(new Problem("image-expired", { status: 410 }));
    entry.recoveries = recoveries;
    entry.ask(click);
    await settled;
    assert.equal(heard[0][0], outcome);
  }
});

test("when local decoding fails, the failure is reported and the prompt is sent again", async () => {
  const { heard, entry, settled } = about(new Problem("local-decoding"), good);
  entry.ask(click);
  await settled;
  assert.deepEqual(heard.map(([kind]) => kind), ["local failure", "answer"]);
});

test("a decoder switched off during a request has not failed, and the other decoder is asked", async () => {
  const { asked, heard, entry, settled, conversation } = about(good);
  const { decoder } = conversation;
  conversation.decoder = {
    masks: async () => {
      conversation.decoder = decoder;
      throw new Problem("local-decoding", { detail: "the decoder was closed" });
    },
  };
  entry.ask(click);
  await settled;
  assert.equal(asked.length, 1);
  assert.deepEqual(heard.map(([kind]) => kind), ["answer"]);
});

test("while a picture is encoded again, others can be prompted", async () => {
  const { heard, entry } = about(new Problem("image-expired", { status: 410 }), good);
  entry.encoding = new Promise(() => {});
  entry.ask(click);
  await new Promise(setImmediate);
  entry.ask(click);
  await new Promise(setImmediate);
  assert.deepEqual(heard.map(([kind]) => kind), ["encode again", "answer"]);
});

test("an error that cannot be repaired is reported unchanged", async () => {
  const { heard, entry, settled } = about(new Problem("forbidden", { status: 403 }));
  entry.ask(click);
  await settled;
  assert.deepEqual(heard, [["problem", "forbidden"]]);
});

test("nothing is reported about a picture that was closed", async () => {
  let open;
  const { heard, entry } = about(new Promise((resolve) => (open = resolve)));
  entry.ask(click);
  entry.controller.abort();
  open(good);
  await new Promise(setImmediate);
  assert.deepEqual(heard, []);
});

test("a region that is ready answers, also where the pointer rested before", async () => {
  const { asked, heard, entry, settled } = about(good);
  entry.region = region;
  entry.ask(hoverStep(1, 2), true);
  await settled;
  entry.ask(click);
  await new Promise(setImmediate);
  assert.deepEqual(asked.map((request) => request.region), [region]);
  assert.deepEqual(heard, [["answer", { ...good, region, unfit: null }], ["answer", { ...good, region, unfit: null }]]);
});

test("an object that goes on outside the region is asked of the whole picture, and its preview answers the click", async () => {
  const { asked, heard, entry, settled } = about(cut, good);
  entry.region = region;
  entry.ask(hoverStep(1, 2), true);
  await settled;
  entry.ask(click);
  await new Promise(setImmediate);
  assert.deepEqual(asked.map((request) => request.region), [region, undefined]);
  assert.deepEqual(heard, [["answer", { ...whole, unfit: region }], ["answer", { ...whole, unfit: region }]]);
});

for (const code of ["rate-limited", "image-expired", "embedding-pending", "offline", "http-500"]) {
  test(`a region that fails with ${code} is given up, and the whole picture answers at once`, async () => {
    const { asked, heard, entry, settled } = about(new Problem(code), good);
    entry.region = region;
    entry.ask(click);
    await settled;
    assert.deepEqual(asked.map((request) => request.region), [region, undefined]);
    assert.deepEqual(heard, [["lost", region], ["answer", whole]]);
  });
}

test("a mask of a region is refined there, whatever is seen now", async () => {
  const { asked, entry, settled } = about(good);
  const step = { ...click, ...answerFields(masks), points: [{ x: 150, y: 150, label: 1 }], region };
  entry.timeline = commit(START, { step: withPoint(step, { x: 160, y: 150, label: 0 }) });
  entry.region = [0, 0, 3000, 3000];
  entry.ask(entry.timeline.now.step);
  await settled;
  assert.deepEqual([asked[0].region, asked[0].prompts[0].mask_token], [region, "t"]);
});

test("a refinement whose region is lost starts from its points, in the whole picture", async () => {
  const { asked, entry, settled } = about(new Problem("embedding-pending"), good);
  const step = { ...click, ...answerFields(masks), points: [{ x: 150, y: 150, label: 1 }], region };
  entry.timeline = commit(START, { step: withPoint(step, { x: 160, y: 150, label: 0 }) });
  entry.ask(entry.timeline.now.step);
  await settled;
  assert.deepEqual(asked.map((request) => [request.region, request.prompts[0].mask_token]), [[region, "t"], [undefined, undefined]]);
  const { base, region: after } = entry.timeline.now.step;
  assert.deepEqual([base, after], [null, null]);
});

test("a finer answer to a refined mask is a single mask too, asked without its token", async () => {
  const { asked, heard, entry, settled } = about(good);
  entry.ask({ ...click, base: "t", masks }, false, { finer: region });
  await settled;
  const { prompts: [prompt], multimask, region: where } = asked[0];
  assert.deepEqual([prompt.mask_token, multimask, where], [undefined, false, region]);
  assert.equal(heard.length, 1);
});

test("a finer answer that fails, or shows the object in part, is not reported", async () => {
  for (const first of [cut, new Problem("overloaded", { status: 503 }), new Problem("forbidden", { status: 403 })]) {
    const { asked, heard, entry } = about(first, good);
    entry.ask({ ...click, masks }, false, { finer: region });
    await new Promise(setImmediate);
    assert.equal(asked.length, 1);
    assert.deepEqual(heard.filter(([kind]) => kind !== "lost"), []);
  }
});
