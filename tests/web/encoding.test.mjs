import assert from "node:assert/strict";
import { test } from "node:test";

import { isSettled } from "../../prompt_api/web/api.js";
import { ensureEncoded } from "../../prompt_api/web/encoding.js";
import { Problem } from "../../prompt_api/web/problems.js";

const ready = { image_id: "id", status: "ready" };
const queued = { image_id: "id", status: "queued", queue_position: 2 };
const encoding = { image_id: "id", status: "encoding" };

/** A service that answers each call with the next entry of its script, and records the calls. */
function service(script) {
  const calls = [];
  const next = (name) => {
    calls.push(name);
    const answer = script[name].shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return {
    calls,
    isSettled,
    LONGEST_PAUSE: 30,
    digest: async () => (script.digest ? next("digest") : "id"),
    getImage: async () => next("getImage"),
    uploadImage: async (_file, { onProgress }) => {
      onProgress(0.5);
      return next("uploadImage");
    },
    followImage: async (_id, { onChange }) => {
      const changes = next("followImage");
      changes.forEach(onChange);
      return changes.at(-1);
    },
    pause: async (seconds) => calls.push(`pause ${seconds}`),
  };
}

async function run(script) {
  const api = service(script);
  const steps = [];
  const report = (progress) => steps.push(progress);
  const { signal } = new AbortController();
  const outcome = ensureEncoded(api, new Blob(), { signal, report });
  await outcome.catch(() => {});
  return { outcome, steps, calls: api.calls };
}

test("a picture the service knows is not uploaded", async () => {
  const { outcome, calls } = await run({ getImage: [ready] });
  assert.deepEqual(await outcome, { image: ready, uploaded: false });
  assert.deepEqual(calls, ["getImage"]);
});

test("a new picture is uploaded and followed, and every stage is reported", async () => {
  const { outcome, steps } = await run({
    getImage: [new Problem("image-not-found")],
    uploadImage: [queued],
    followImage: [[encoding, ready]],
  });
  assert.equal((await outcome).uploaded, true);
  assert.deepEqual(steps, [
    { step: "reading" },
    { step: "uploading", share: 0.5 },
    { step: "queued", position: 2 },
    { step: "encoding" },
  ]);
});

test("a picture that no worker would encode says so, until a worker is there", async () => {
  const alone = { model: "mobile_sam", workers: 0 };
  const { steps } = await run({
    getImage: [{ ...queued, ...alone }],
    followImage: [[{ ...encoding, ...alone }, { ...queued, workers: 1 }, ready]],
  });
  assert.deepEqual(steps, [
    { step: "reading" },
    { step: "without-worker", model: "mobile_sam" },
    { step: "without-worker", model: "mobile_sam" },
    { step: "queued", position: 2 },
  ]);
});

test("if the browser cannot hash, the picture is uploaded without asking first", async () => {
  const { outcome, calls } = await run({ digest: [null], uploadImage: [ready] });
  await outcome;
  assert.deepEqual(calls, ["digest", "uploadImage"]);
});

test("an expired picture is uploaded again", async () => {
  const { outcome } = await run({ getImage: [new Problem("image-expired")], uploadImage: [ready] });
  assert.equal((await outcome).uploaded, true);
});

test("a picture that expires while it waits is uploaded again", async () => {
  const expired = new Problem("image-expired");
  const api = { getImage: [queued], followImage: [expired], uploadImage: [ready] };
  assert.equal((await (await run(api)).outcome).uploaded, true);
});

test("a recorded failure is tried again by uploading", async () => {
  const { outcome } = await run({ getImage: [{ image_id: "id", status: "failed" }], uploadImage: [ready] });
  assert.equal((await outcome).image, ready);
});

test("an encoding that fails is an error with the service's own code and reason", async () => {
  const failed = { image_id: "id", status: "failed", error: { code: "invalid-image", detail: "it is cut off" } };
  const { outcome } = await run({
    getImage: [new Problem("image-not-found")],
    uploadImage: [queued],
    followImage: [[failed]],
  });
  await assert.rejects(outcome, { code: "invalid-image", detail: "it is cut off" });
});

test("a busy service is asked again after its Retry-After time", async () => {
  const busy = new Problem("overloaded", { status: 503, retryAfter: 7 });
  const { outcome, steps, calls } = await run({
    getImage: [new Problem("image-not-found")],
    uploadImage: [busy, ready],
  });
  await outcome;
  assert.deepEqual(calls, ["getImage", "uploadImage", "pause 7", "uploadImage"]);
  assert.equal(steps.find(({ step }) => step === "backing-off").seconds, 7);
});

test("after five tries, a service that stays busy is not asked again", async () => {
  const busy = () => new Problem("store-unavailable", { status: 503, retryAfter: 600 });
  const { outcome, calls } = await run({ getImage: [busy(), busy(), busy(), busy(), busy()] });
  await assert.rejects(outcome, { code: "store-unavailable" });
  assert.equal(calls.filter((call) => call === "getImage").length, 5);
  assert.ok(calls.includes("pause 30"));
});

test("a refused picture is not tried again", async () => {
  const { outcome, calls } = await run({
    getImage: [new Problem("image-not-found")],
    uploadImage: [new Problem("unsupported-image", { status: 415 })],
  });
  await assert.rejects(outcome, { code: "unsupported-image" });
  assert.deepEqual(calls, ["getImage", "uploadImage"]);
});

test("with its hash, a picture that the service knows needs no file", async () => {
  const api = service({ getImage: [ready] });
  const { signal } = new AbortController();
  const options = { signal, report: () => {}, hash: "known" };
  const outcome = await ensureEncoded(api, () => assert.fail("the file was opened"), options);
  assert.deepEqual(outcome, { image: ready, uploaded: false });
});

test("a file is opened again for the upload, if the service has forgotten the picture", async () => {
  const api = service({ getImage: [new Problem("image-not-found")], uploadImage: [ready] });
  const { signal } = new AbortController();
  let opened = 0;
  const options = { signal, report: () => {}, hash: "known" };
  const { uploaded } = await ensureEncoded(api, async () => (opened++, new Blob()), options);
  assert.deepEqual([uploaded, opened], [true, 1]);
});
