import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../prompt_api/web/conversation.js";
import { Problem } from "../../prompt_api/web/problems.js";
import { BLANK, answerFields, hoverStep, withPoint } from "../../prompt_api/web/prompts.js";
import { START, commit } from "../../prompt_api/web/timeline.js";

const masks = [{ score: 0.9, mask_token: "t" }];
const good = { results: [{ masks }], times: { total: 1, inside: 1 } };

/** A conversation about one picture, with a decoder that follows the script and a listener that records its calls. */
function about(...script) {
  const asked = [];
  const heard = [];
  const entry = { image: { image_id: "id" }, controller: new AbortController(), recoveries: 0, preview: null, timeline: START };
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
    });
    entry.ask = (step, isHover = false) => conversation.submit({ entry, step, isHover, since: 0 });
  });
  return { asked, heard, entry, settled, conversation };
}

const click = { ...withPoint(BLANK, { x: 1, y: 2, label: 1 }), id: 1 };

test("the listener gets an answer once", async () => {
  const { heard, entry, settled } = about(good);
  entry.ask(click);
  await settled;
  assert.deepEqual(heard, [["answer", good]]);
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
