import assert from "node:assert/strict";
import { test } from "node:test";

import { findEverything } from "../../prompt_api/web/everything-job.js";
import { wordsOf } from "../../prompt_api/web/everything-row.js";
import { foundMasks, inReadingOrder, leftOf, maskAt } from "../../prompt_api/web/found-masks.js";
import { maskFrom } from "../../prompt_api/web/mask-edges.js";
import { Problem } from "../../prompt_api/web/problems.js";

const image = { image_id: "id", model: "m" };

/** The record of a rectangle on a picture of 20x10 pixels. */
function record(x, y, width, height, score = 0.9) {
  const edges = Array.from({ length: width }, (_, column) => [(x + column) * 10 + y, (x + column) * 10 + y + height]);
  const { rle, area, bbox } = maskFrom(Uint32Array.from(edges.flat()), [10, 20]);
  return { rle, area, bbox, predicted_iou: score };
}

function job(status, more = {}) {
  return { job: "j", status, progress: 0, found: 0, queue_position: null, workers: null, error: null, ...more };
}

/** A service that answers `get` from a list, the last one again and again, and sends `events`. */
function service({ asked = job("queued"), events = [], got = [job("done", { masks: [] })], clock = [0] }) {
  const log = [];
  const answer = (value) => {
    if (value instanceof Error) throw value;
    return value;
  };
  const asks = [asked].flat();
  return {
    log,
    now: () => clock[0],
    pause: async (seconds, signal) => {
      signal.throwIfAborted();
      log.push(`pause ${seconds}`);
      clock[0] += seconds * 1000;
    },
    ask: async (of, options) => {
      log.push(`ask ${of.image_id} ${JSON.stringify(options)}`);
      return answer(asks.length > 1 ? asks.shift() : asks[0]);
    },
    get: async () => {
      log.push("get");
      return answer(got.length > 1 ? got.shift() : got[0]);
    },
    async *states() {
      for (const event of events) yield answer(event);
    },
  };
}

async function followed(api, signal = new AbortController().signal) {
  const jobs = [];
  const masks = [];
  const options = { signal, onJob: ({ status }) => jobs.push(status), onMasks: (seen) => masks.push(seen.masks.length) };
  const end = await findEverything(api, image, options);
  return { end, jobs, masks };
}

test("masks that are there already need no second request", async () => {
  const api = service({ asked: job("done", { found: 1, masks: [record(0, 0, 2, 2)] }) });
  const { masks } = await followed(api);
  assert.deepEqual(masks, [1]);
  assert.deepEqual(api.log, ['ask id {"mode":"fast"}']);
});

test("masks are fetched as they come, and once more at the end", async () => {
  const so = (found) => job("running", { found, masks: Array(found).fill({}) });
  const events = [job("running"), so(1), so(1), job("done", { found: 3 })];
  const api = service({ events, got: [so(1), job("done", { found: 3, masks: [{}, {}, {}] })] });
  const { jobs, masks } = await followed(api);
  assert.deepEqual(masks, [1, 3]);
  assert.equal(jobs.at(-1), "done");
  assert.deepEqual(api.log.slice(1), ["get", "get"]);
});

test("looks at the masks are at least a second apart, however many events come", async () => {
  const events = Array.from({ length: 50 }, (_, found) => job("running", { found }));
  const api = service({ events, got: [job("running", { found: 1, masks: [{}] }), job("done", { found: 50, masks: [] })] });
  await followed(api);
  assert.equal(api.log.filter((line) => line === "get").length, 2);
});

test("without events the page polls", async () => {
  const got = [job("running", { found: 1, masks: [{}] }), job("running", { found: 2, masks: [{}, {}] }), job("done", { masks: [{}] })];
  const api = service({ events: [new Problem("overloaded", { status: 503 })], got });
  assert.deepEqual((await followed(api)).masks, [1, 2, 1]);
  assert.deepEqual(api.log.slice(1), ["get", "pause 1", "get", "pause 1", "get"]);
});

test("a busy service is asked again, and not for ever", async () => {
  const busy = new Problem("overloaded", { status: 503, retryAfter: 3 });
  const api = service({ asked: [busy, job("done", { masks: [] })] });
  await followed(api);
  assert.equal(api.log[1], "pause 3");
  await assert.rejects(followed(service({ asked: busy })), { code: "overloaded" });
});

test("a job that failed is a problem of its code", async () => {
  const error = { code: "everything-failed", detail: "it took too long" };
  await assert.rejects(followed(service({ got: [job("failed", { error })] })), { code: "everything-failed", detail: "it took too long" });
});

test("a search that is left ends at once", async () => {
  const controller = new AbortController();
  const api = service({ got: [job("running", { masks: [] })] });
  api.pause = async (_, signal) => {
    controller.abort();
    signal.throwIfAborted();
  };
  await assert.rejects(followed(api, controller.signal), { name: "AbortError" });
});

test("a mask of an earlier answer stays the same object", () => {
  const before = foundMasks([record(0, 0, 2, 2), record(5, 5, 3, 3)]);
  const after = foundMasks([record(5, 5, 3, 3), record(9, 0, 1, 1)], before);
  const key = record(5, 5, 3, 3).rle.counts;
  assert.equal(after.get(key), before.get(key));
  assert.equal(after.size, 2);
});

test("only so many masks are held, the best ones", () => {
  const records = Array.from({ length: 10 }, (_, x) => record(x, 0, 1, 5));
  assert.equal(foundMasks(records, new Map(), { masks: 4, characters: 1e6 }).size, 4);
  const characters = records[0].rle.counts.length + records[1].rle.counts.length;
  assert.equal(foundMasks(records, new Map(), { masks: 100, characters }).size, 2);
});

test("the smallest mask at a place is the one that is hit", () => {
  const left = leftOf(foundMasks([record(0, 0, 10, 10), record(2, 2, 3, 3)]), []);
  assert.equal(maskAt(left, { x: 3.5, y: 2.1 }).area, 9);
  assert.equal(maskAt(left, { x: 8, y: 8 }).area, 100);
  assert.equal(maskAt(left, { x: 12, y: 8 }), null);
});

test("what is kept is not offered", () => {
  const masks = foundMasks([record(0, 0, 10, 10), record(2, 2, 3, 3)]);
  const [small] = leftOf(masks, []);
  const kept = { id: 1, step: { masks: [small], chosen: 0 } };
  assert.deepEqual(leftOf(masks, [kept]).map(({ area }) => area), [100]);
});

test("the keyboard goes through masks as one reads", () => {
  const masks = foundMasks([record(12, 8, 2, 2), record(12, 0, 2, 2), record(1, 0, 2, 2)]);
  assert.deepEqual(inReadingOrder([...masks.values()], 10).map(({ bbox }) => bbox.slice(0, 2)), [[1, 0], [12, 0], [12, 8]]);
});

test("each state of the search has plain words", () => {
  const run = { job: null, error: null, masks: new Map(), offer: { masks: [] } };
  const words = (more) => wordsOf({ ...run, ...more });
  assert.equal(words({ job: job("queued", { workers: 0 }) }).text, "No mask worker is running. The search waits for one.");
  assert.equal(words({ job: job("queued", { workers: 1, queue_position: 2 }) }).text, "Waiting for its turn, 2 ahead of it");
  assert.deepEqual(words({ job: job("running", { found: 1, progress: 0.4 }) }), { text: "1 mask so far", share: 0.4 });
  assert.equal(words({ job: job("done") }).text, "No mask was found.");
  const masks = foundMasks([record(0, 0, 2, 2)]);
  assert.equal(words({ job: job("done", { found: 9 }), masks, offer: { masks: [{}] } }).text, "1 mask to keep. The best 1 are shown.");
  assert.equal(words({ error: new Problem("everything-failed") }).text, "The service could not find every mask of the picture.");
});
