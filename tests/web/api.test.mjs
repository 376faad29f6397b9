import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import * as api from "../../prompt_api/web/api.js";
import { useDialog } from "../../prompt_api/web/credentials.js";
import { Problem, sentenceFor } from "../../prompt_api/web/problems.js";

let asked;
let sent;

function answerWith(...responses) {
  asked = [];
  sent = [];
  globalThis.fetch = async (url, { headers }) => {
    asked.push(url);
    sent.push(headers.Authorization ?? null);
    const response = responses.shift();
    if (response instanceof Error) throw response;
    return response;
  };
}

function problem(status, code, headers = {}) {
  return new Response(JSON.stringify({ code, detail: "because" }), { status, headers });
}

function events(...images) {
  const text = images.map((image) => `event: ${image.status}\ndata: ${JSON.stringify(image)}\n\n`).join("");
  return new Response(text, { headers: { "Content-Type": "text/event-stream" } });
}

/** A fake of the tab's sessionStorage. */
globalThis.sessionStorage = {
  kept: new Map(),
  getItem: (key) => sessionStorage.kept.get(key) ?? null,
  setItem: (key, value) => sessionStorage.kept.set(key, value),
};

afterEach(() => {
  sessionStorage.kept.clear();
  useDialog(async () => null);
});

test("a problem document becomes a Problem with its code, detail and Retry-After", async () => {
  answerWith(problem(503, "overloaded", { "Retry-After": "2.5" }));
  await assert.rejects(api.getImage("id"), { code: "overloaded", status: 503, detail: "because", retryAfter: 2.5 });
});

test("an error that is not a problem document still becomes a Problem", async () => {
  answerWith(new Response("<h1>Bad Gateway</h1>", { status: 502 }));
  await assert.rejects(api.getImage("id"), { code: "http-502", status: 502, retryAfter: null });
});

test("a service that cannot be reached is `offline`", async () => {
  answerWith(new TypeError("failed to fetch"));
  await assert.rejects(api.getImage("id"), { code: "offline" });
});

test("an abort stays an abort", async () => {
  const controller = new AbortController();
  controller.abort();
  answerWith(new TypeError("whatever"));
  await assert.rejects(api.getImage("id", { signal: controller.signal }), { name: "AbortError" });
});

test("every address is relative, so the page works behind a path prefix", async () => {
  answerWith(new Response("{}"));
  await api.getImage("id");
  assert.deepEqual(asked, ["v1/images/id?wait=0"]);
});

test("a region is encoded by its corners, and its state is returned", async () => {
  const state = { region: [0, 16, 256, 272], status: "queued", queue_position: 2, error: null };
  answerWith(new Response(JSON.stringify({ regions: [state] }), { status: 202 }));
  assert.deepEqual(await api.encodeRegion("id", { regions: [state.region] }, { wait: 15, model: "m" }), state);
  assert.deepEqual(asked, ["v1/images/id/regions?wait=15&model=m"]);
});

test("an image is followed by its events to the end", async () => {
  const seen = [];
  answerWith(events(...["queued", "encoding", "ready"].map((status) => ({ image_id: "id", status }))));
  const image = await api.followImage("id", { onChange: ({ status }) => seen.push(status) });
  assert.equal(image.status, "ready");
  assert.deepEqual(seen, ["queued", "encoding", "ready"]);
  assert.deepEqual(asked, ["v1/images/id/events"]);
});

test("when the event stream breaks off, the image is polled instead", async () => {
  answerWith(events({ image_id: "id", status: "queued" }), Response.json({ image_id: "id", status: "ready" }));
  assert.equal((await api.followImage("id")).status, "ready");
  assert.deepEqual(asked, ["v1/images/id/events", "v1/images/id?wait=15"]);
});

test("following an image that is gone ends with its problem", async () => {
  answerWith(problem(410, "image-expired"), problem(410, "image-expired"));
  await assert.rejects(api.followImage("id"), { code: "image-expired" });
});

test("an abort ends the following", async () => {
  const controller = new AbortController();
  controller.abort();
  answerWith(new TypeError("aborted"));
  await assert.rejects(api.followImage("id", { signal: controller.signal }), { name: "AbortError" });
});

test("a service that needs a token gets the person's token from then on", async () => {
  useDialog(async () => "secret");
  answerWith(problem(401, "unauthorized"), Response.json({}), Response.json({}));
  await api.getImage("id");
  await api.getImage("id");
  assert.deepEqual(sent, [null, "Bearer secret", "Bearer secret"]);
});

test("a token that is refused is asked for again", async () => {
  const asks = [];
  useDialog(async (why) => (asks.push(why), asks.length === 1 ? "wrong" : "right"));
  answerWith(problem(401, "unauthorized"), problem(401, "unauthorized"), Response.json({}));
  await api.getImage("id");
  assert.deepEqual(asks, ["needed", "refused"]);
  assert.deepEqual(sent, [null, "Bearer wrong", "Bearer right"]);
});

test("a person without a token is asked once for all calls, and each of them is refused", async () => {
  let asks = 0;
  useDialog(async () => (asks++, null));
  answerWith(problem(401, "unauthorized"), problem(401, "unauthorized"));
  const calls = [api.getImage("a"), api.getImage("b")];
  for (const call of calls) await assert.rejects(call, { code: "unauthorized" });
  assert.equal(asks, 1);
});

test("a prompt's answer has its masks and its times", async () => {
  const body = JSON.stringify({ results: [{ masks: [{ score: 0.9 }] }] });
  answerWith(new Response(body, { headers: { "Server-Timing": "fetch;dur=0.5, decode;dur=24.5" } }));
  const { results, times } = await api.promptMasks("id", {});
  assert.deepEqual(results[0].masks, [{ score: 0.9 }]);
  assert.equal(times.inside, 25);
  assert.ok(times.total >= 0);
});

test("without Server-Timing the service's time is unknown", () => {
  assert.equal(api.totalServerTiming(null), null);
});

test("the SHA-256 equals the one that the service computes", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(await api.digest(new Blob(["abc"])), abc);
});

test("every error becomes a sentence, which includes a limit from the detail", () => {
  assert.equal(
    sentenceFor(new Problem("image-too-large", { detail: "at most 50 megapixels" })),
    "That picture is larger than this service accepts. At most 50 megapixels.",
  );
  assert.match(sentenceFor(new Problem("http-502")), /^The service answered with an error\.$/);
  assert.match(sentenceFor(new TypeError("oops")), /Reload it/);
});

test("every call about an image names the model, if one is chosen", async () => {
  const ready = { image_id: "id", status: "ready" };
  const json = () => new Response(JSON.stringify(ready));
  answerWith(json(), json(), events(ready), problem(503, "overloaded"), json());
  await api.getImage("id", { model: "cells.v2" });
  await api.promptMasks("id", {}, { model: "cells.v2" });
  await api.followImage("id", { model: "cells.v2" });
  await api.followImage("id", { model: "cells.v2" }); // without a stream it polls
  assert.deepEqual(asked, [
    "v1/images/id?wait=0&model=cells.v2",
    "v1/images/id/masks?model=cells.v2",
    "v1/images/id/events?model=cells.v2",
    "v1/images/id/events?model=cells.v2",
    "v1/images/id?wait=15&model=cells.v2",
  ]);
});

test("the list of models is asked for without a question to the person", async () => {
  useDialog(async () => assert.fail("nobody is to be asked"));
  answerWith(problem(401, "unauthorized"), new Response(JSON.stringify({ models: [{ name: "a" }] })));
  await assert.rejects(api.listModels(), { code: "http-401" });
  assert.deepEqual(await api.listModels(), [{ name: "a" }]);
});
