import assert from "node:assert/strict";
import { test } from "node:test";

import { hasGpu, PromptSide } from "../../../prompt_api/web/local/prompt-side.js";

let clock = 0;

/** A session whose three masks each contain the first `inside` of a thousand places. */
class FakeSession {
  runs = 0;
  released = false;

  constructor(inside, milliseconds = 0) {
    this.inside = inside;
    this.milliseconds = milliseconds;
  }

  async run() {
    this.runs++;
    clock += this.milliseconds;
    if (this.inside === null) throw new Error("device lost");
    const logits = Float32Array.from({ length: 3000 }, (_, place) => (place % 1000 < this.inside ? 1 : -1));
    return { logits: { data: logits }, scores: { data: new Float32Array(3) } };
  }

  async release() {
    this.released = true;
  }
}

const SLOW = 40;

/** Returns the prompt side and its sessions after `prompts` prompts and the trials they started. */
async function after(prompts, processor, gpu) {
  const side = new PromptSide(processor, () => clock);
  side.tryGpu(gpu);
  for (let k = 0; k < prompts; k++) {
    await side.run({});
    await new Promise(setImmediate);
  }
  return side;
}

test("a GPU that gives the same masks faster takes over", async () => {
  const [processor, gpu] = [new FakeSession(500, SLOW), new FakeSession(500)];
  const side = await after(1, processor, gpu);
  assert.ok(side.usesGpu);
  await side.run({});
  assert.deepEqual([processor.runs, gpu.runs], [1, 3]);
});

test("a GPU that gives other masks never takes over", async () => {
  const gpu = new FakeSession(498);
  const side = await after(2, new FakeSession(500, SLOW), gpu);
  assert.equal(side.usesGpu, false);
  assert.deepEqual([gpu.runs, gpu.released], [2, true]);
});

test("a slower GPU is tried three times and released", async () => {
  const [processor, gpu] = [new FakeSession(500), new FakeSession(500, SLOW)];
  const side = await after(4, processor, gpu);
  assert.equal(side.usesGpu, false);
  assert.deepEqual([processor.runs, gpu.runs, gpu.released], [4, 4, true]);
});

test("an empty mask proves nothing", async () => {
  const gpu = new FakeSession(0);
  const side = await after(1, new FakeSession(0, SLOW), gpu);
  assert.deepEqual([side.usesGpu, gpu.runs], [false, 0]);
});

test("a graph that the GPU cannot run stays on the processor", async () => {
  const gpu = new FakeSession(null);
  const side = await after(1, new FakeSession(500, SLOW), gpu);
  assert.deepEqual([side.usesGpu, gpu.released], [false, true]);
});

test("when the device is lost, the processor answers the same prompt and all later ones", async () => {
  const gpu = new FakeSession(500);
  const side = await after(1, new FakeSession(500, SLOW), gpu);
  gpu.inside = null;
  assert.equal((await side.run({})).scores.data.length, 3);
  assert.equal(side.usesGpu, false);
});

test("a GPU simulated on the processor does not count", async () => {
  const giving = (adapter) => ({ requestAdapter: async () => adapter });
  assert.equal(await hasGpu(giving({ info: { architecture: "ampere", isFallbackAdapter: false } })), true);
  assert.equal(await hasGpu(giving({ info: { architecture: "swiftshader" } })), false);
  assert.equal(await hasGpu(giving({ info: { isFallbackAdapter: true } })), false);
  assert.equal(await hasGpu(giving(null)), false);
  assert.equal(await hasGpu(undefined), false);
  assert.equal(await hasGpu({ requestAdapter: async () => Promise.reject(new Error("blocked")) }), false);
});
