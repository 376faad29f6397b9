import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { LocalDecoder } from "../../../prompt_api/web/local/decoder.js";
import { Problem } from "../../../prompt_api/web/problems.js";

const CLICK = { prompts: [{ points: [[1, 1]], labels: [1] }], multimask: false };

/** Fake workers that were started, with the messages that each received and the way it answers. */
let workers = [];

class FakeWorker extends EventTarget {
  told = [];
  ended = false;
  mute = false;

  constructor() {
    super();
    workers.push(this);
  }

  postMessage({ id, call, given }) {
    this.told.push([call, typeof given[0] === "string" ? given[0] : null]);
    const value = call === "masks" ? { results: [{ masks: [given[0]] }], milliseconds: 7 } : undefined;
    const answer = new MessageEvent("message", { data: { id, value } });
    setImmediate(() => this.ended || this.mute || this.dispatchEvent(answer));
  }

  terminate() {
    this.ended = true;
  }
}

/** A fake of the service. Every file has as many bytes as its stated size. */
class FakeService {
  asked = [];
  weights = "w1";
  broken = new Set();
  descriptions = [];

  request = async (path) => {
    this.asked.push(path);
    const found = [...this.broken].find((part) => path.includes(part));
    if (found) throw new Problem("store-unavailable", { status: 503 });
    if (path.endsWith("/decoder")) {
      const ready = { status: "ready", detail: null };
      return Response.json({
        model: "m",
        weights_digest: this.weights,
        runtime: "1.0.0",
        digest: `d-${this.weights}`,
        parts: { image_side: 10, prompt_side: 20 },
        ...(this.descriptions.shift() ?? ready),
      });
    }
    const size = path.includes("image_side") ? 10 : path.includes("prompt_side") ? 20 : 2 * 256 * 64 * 64;
    return new Response(new Uint8Array(size));
  };

  count(part) {
    return this.asked.filter((path) => path.includes(part)).length;
  }
}

function image(id) {
  return { image_id: id, model: "m", width: 900, height: 600 };
}

let service;
let decoder;

beforeEach(() => {
  globalThis.Worker = FakeWorker;
  workers = [];
  service = new FakeService();
  decoder = new LocalDecoder(service);
});

test("an answer looks like the service's, and has its times", async () => {
  const { times, ...answer } = await decoder.masks(image("a"), CLICK);
  assert.deepEqual(answer, { ...image("a"), region: null, results: [{ masks: ["m/a"] }] });
  assert.equal(times.inside, 7);
  assert.ok(times.total > 0);
});

test("the graphs are fetched once, an embedding once per image, and a prompt fetches nothing", async () => {
  await Promise.all([decoder.prepare(image("a")), decoder.prepare(image("a")), decoder.prepare(image("b"))]);
  await decoder.masks(image("a"), CLICK);
  await decoder.masks(image("b"), CLICK);
  assert.equal(service.count(".onnx"), 2);
  assert.equal(service.count("/a/embedding"), 1);
  assert.equal(service.count("/b/embedding"), 1);
  assert.equal(workers.length, 1);
});

test("the embedding is requested for the weights of the graphs", async () => {
  await decoder.prepare(image("a"));
  assert.ok(service.asked.includes("v1/images/a/embedding?model=m&weights=w1"));
  assert.ok(service.asked.includes("v1/models/m/decoder/d-w1/image_side.onnx"));
});

test("a region has an embedding of its own, which is fetched and prepared once", async () => {
  const region = [0, 256, 512, 768];
  await decoder.prepare(image("a"), { region });
  const { results, region: where } = await decoder.masks(image("a"), { ...CLICK, region });
  assert.deepEqual([results[0].masks, where], [["m/a@0,256,512,768"], region]);
  assert.deepEqual(service.asked.filter((path) => path.includes("/embedding")), [
    "v1/images/a/embedding?model=m&weights=w1&region=0,256,512,768",
  ]);
});

test("an image stays prepared as long as its regions are", async () => {
  await decoder.prepare(image("a"));
  for (const x of [0, 256, 512]) await decoder.prepare(image("a"), { region: [x, 0, x + 512, 512] });
  await decoder.masks(image("a"), CLICK);
  assert.equal(service.count("/a/embedding?model=m&weights=w1&region"), 3);
  assert.equal(service.count("/a/embedding"), 4);
});

test("shares of the bytes are reported up to 1", async () => {
  const shares = [];
  await decoder.prepare(image("a"), { report: (share) => shares.push(share) });
  assert.deepEqual(shares, shares.toSorted((a, b) => a - b));
  assert.equal(shares.at(-1), 1);
});

test("only the last few images stay prepared", async () => {
  for (const id of ["a", "b", "c"]) await decoder.prepare(image(id));
  await decoder.masks(image("a"), CLICK);
  await decoder.prepare(image("d"));
  assert.deepEqual(workers[0].told.filter(([call]) => call === "forget"), [["forget", "m/b"]]);
  await decoder.masks(image("b"), CLICK);
  assert.equal(service.count("/b/embedding"), 2);
  assert.equal(service.count("/a/embedding"), 1);
});

test("an image that is loaded late is still forgotten in its turn", async () => {
  let arrive;
  const late = new Promise((resolve) => (arrive = resolve));
  const { request } = service;
  service.request = async (path) => {
    if (path.includes("/a/embedding")) await late;
    return request(path);
  };
  const first = decoder.prepare(image("a"));
  for (const id of ["b", "c", "d", "e"]) await decoder.prepare(image(id));
  arrive();
  await first;
  await decoder.masks(image("e"), CLICK);
  const kept = new Set();
  for (const [call, name] of workers[0].told) {
    if (call === "prepare") kept.add(name);
    if (call === "forget") kept.delete(name);
  }
  assert.deepEqual([...kept], ["m/c", "m/d", "m/e"]);
});

test("other weights start another worker, and images prepared with the old weights are not used", async () => {
  await decoder.prepare(image("a"));
  service.weights = "w2";
  await decoder.prepare(image("b"));
  assert.deepEqual(workers.map(({ ended }) => ended), [true, false]);
  await decoder.masks(image("a"), CLICK);
  assert.ok(service.asked.includes("v1/images/a/embedding?model=m&weights=w2"));
});

test("a fetch that failed is tried again at the next prompt", async () => {
  service.broken.add("prompt_side");
  await assert.rejects(decoder.prepare(image("a")), { code: "store-unavailable" });
  assert.equal(workers[0].ended, true);
  service.broken.clear();
  await decoder.masks(image("a"), CLICK);
});

test("when the service refuses an image, the graphs stay loaded", async () => {
  service.broken.add("/a/embedding");
  await assert.rejects(decoder.prepare(image("a")), { code: "store-unavailable" });
  await decoder.prepare(image("b"));
  assert.equal(service.count(".onnx"), 2);
});

test("the service is asked again while it still fetches the runtime", async () => {
  service.descriptions.push({ status: "fetching", detail: "soon" });
  await decoder.prepare(image("a"));
  assert.equal(service.asked.filter((path) => path.endsWith("/decoder")).length, 2);
});

test("if the service has no runtime, the problem has its reason", async () => {
  service.descriptions.push({ status: "unavailable", detail: "no network" });
  await assert.rejects(decoder.prepare(image("a")), { code: "local-decoding", detail: "no network" });
  assert.equal(workers.length, 0);
});

test("an abort ends the waiting at once, and a load that was under way is used the next time", async () => {
  const aborted = new AbortController();
  const waiting = decoder.prepare(image("a"), { signal: aborted.signal });
  aborted.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await decoder.prepare(image("a"));
  assert.equal(service.count("/a/embedding"), 1);
});

test("when a worker dies, its waiting calls and all later calls are rejected", async () => {
  await decoder.prepare(image("a"));
  workers[0].mute = true;
  const asked = decoder.masks(image("a"), CLICK);
  await new Promise(setImmediate);
  workers[0].dispatchEvent(Object.assign(new Event("error"), { message: "out of memory" }));
  await assert.rejects(asked, { code: "local-decoding", detail: "out of memory" });
  await assert.rejects(decoder.masks(image("a"), CLICK), { code: "local-decoding" });
});

test("closing ends the worker", async () => {
  await decoder.prepare(image("a"));
  decoder.close();
  assert.equal(workers[0].ended, true);
});
