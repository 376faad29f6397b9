import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import * as api from "../../prompt_api/web/api.js";
import { Problem, sentenceFor } from "../../prompt_api/web/problems.js";

/** An event stream that the test speaks for. */
class FakeEventSource extends EventTarget {
  static last;

  constructor(url) {
    super();
    this.url = url;
    FakeEventSource.last = this;
  }

  say(image) {
    this.dispatchEvent(new MessageEvent(image.status, { data: JSON.stringify(image) }));
  }

  close() {
    this.closed = true;
  }
}

let asked;

function answerWith(...responses) {
  asked = [];
  globalThis.fetch = async (url) => {
    asked.push(url);
    const response = responses.shift();
    if (response instanceof Error) throw response;
    return response;
  };
}

function problem(status, code, headers = {}) {
  return new Response(JSON.stringify({ code, detail: "because" }), { status, headers });
}

beforeEach(() => {
  globalThis.EventSource = FakeEventSource;
});

test("a problem document becomes a Problem with its code, detail and Retry-After", async () => {
  answerWith(problem(503, "overloaded", { "Retry-After": "2.5" }));
  await assert.rejects(api.getImage("id"), { code: "overloaded", status: 503, detail: "because", retryAfter: 2.5 });
});

test("an answer that is no problem document is still a Problem", async () => {
  answerWith(new Response("<h1>Bad Gateway</h1>", { status: 502 }));
  await assert.rejects(api.getImage("id"), { code: "http-502", status: 502, retryAfter: null });
});

test("a service out of reach is `offline`", async () => {
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

test("an image is followed by its events to the end, and the stream is closed", async () => {
  const seen = [];
  const outcome = api.followImage("id", { onChange: (image) => seen.push(image.status) });
  for (const status of ["queued", "encoding", "ready"]) FakeEventSource.last.say({ image_id: "id", status });
  assert.equal((await outcome).status, "ready");
  assert.deepEqual(seen, ["queued", "encoding", "ready"]);
  assert.ok(FakeEventSource.last.closed);
});

test("without an event stream the image is asked for instead", async () => {
  answerWith(Response.json({ image_id: "id", status: "ready" }));
  const outcome = api.followImage("id");
  FakeEventSource.last.onerror();
  assert.equal((await outcome).status, "ready");
  assert.deepEqual(asked, ["v1/images/id?wait=15"]);
});

test("an image that is gone ends the following with its problem", async () => {
  answerWith(problem(410, "image-expired"));
  const outcome = api.followImage("id");
  FakeEventSource.last.onerror();
  await assert.rejects(outcome, { code: "image-expired" });
});

test("following ends with an abort", async () => {
  const controller = new AbortController();
  const outcome = api.followImage("id", { signal: controller.signal });
  controller.abort();
  await assert.rejects(outcome, { name: "AbortError" });
  assert.ok(FakeEventSource.last.closed);
});

test("a prompt's answer carries its masks and the time the service took", async () => {
  const body = JSON.stringify({ results: [{ masks: [{ score: 0.9 }] }] });
  answerWith(new Response(body, { headers: { "Server-Timing": "fetch;dur=0.5, decode;dur=24.5" } }));
  const { masks, serverMilliseconds } = await api.promptMasks("id", {});
  assert.deepEqual(masks, [{ score: 0.9 }]);
  assert.equal(serverMilliseconds, 25);
});

test("without Server-Timing the service's time is unknown", () => {
  assert.equal(api.totalServerTiming(null), null);
});

test("a SHA-256 is the one the service computes", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(await api.digest(new Blob(["abc"])), abc);
});

test("every error is a sentence, and a limit in its detail is passed on", () => {
  assert.equal(
    sentenceFor(new Problem("image-too-large", { detail: "at most 50 megapixels" })),
    "That picture is larger than this service accepts. At most 50 megapixels.",
  );
  assert.match(sentenceFor(new Problem("http-502")), /^The service answered with an error\.$/);
  assert.match(sentenceFor(new TypeError("oops")), /Reload it/);
});
