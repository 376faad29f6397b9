import assert from "node:assert/strict";
import { test } from "node:test";

import { Engine } from "../../../prompt_api/web/local/engine.js";
import { decodeRuns } from "../../../prompt_api/web/rle.js";
import { Refinement } from "../../../prompt_api/web/local/refinement.js";

const PHOTO = [600, 900];
const CLICK = { points: [[450, 300]], labels: [1] };

/** Graphs that answer with a square around the last point, and record their calls. */
class FakeGraphs {
  asked = [];

  async prepare(embedding, size) {
    return { size };
  }

  async decode(image, prompt, { mask, multimask, whole }) {
    this.asked.push({ points: prompt.points.length, mask: mask?.[0] ?? null, multimask, whole });
    const count = multimask ? 3 : 1;
    const of = (index) => new Float32Array(256 * 256).fill(this.asked.length + index / 4);
    const logits = Array.from({ length: count }, (_, index) => of(index));
    return { logits, scores: Float32Array.from({ length: count }, (_, index) => 0.5 + index / 4) };
  }
}

function embedding() {
  const header = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 256, 64, 64), }".padEnd(117) + "\n";
  const bytes = new Uint8Array(128 + 2 * 256 * 64 * 64);
  bytes.set(Buffer.from(`\x93NUMPY\x01\x00\x76\x00${header}`, "latin1"));
  return bytes.buffer;
}

/** Graphs whose masks end a quarter below the upper edge, and which record the points and the size. */
class PartGraphs extends FakeGraphs {
  async decode(image, prompt, options) {
    this.points = prompt.points;
    this.box = prompt.box;
    const { logits, scores } = await super.decode(image, prompt, options);
    return { logits: logits.map((one) => one.map((_, at) => (at < 64 * 256 ? 1 : -1))), scores };
  }
}

async function prepared(...images) {
  const graphs = new FakeGraphs();
  const engine = new Engine(graphs);
  for (const image of images) await engine.prepare(image, embedding(), PHOTO);
  return { graphs, engine, ask: async (image, prompt, more) => {
    const [{ masks }] = await engine.masks(image, { prompts: [prompt], ...more });
    return masks;
  } };
}

test("an answer has the same members as the service's", async () => {
  const { ask } = await prepared("a");
  const masks = await ask("a", CLICK);
  assert.equal(masks.length, 3);
  assert.deepEqual(Object.keys(masks[0]).sort(), ["area", "bbox", "mask_token", "rle", "score"]);
  assert.equal(masks[1].score, 0.75);
  assert.deepEqual([masks[0].area, masks[0].bbox], [600 * 900, [0, 0, 900, 600]]);
  assert.equal(new Set(masks.map((mask) => mask.mask_token)).size, 3);
});

test("a first prompt is decoded without padding; refining it decodes and keeps it with padding", async () => {
  const { ask, graphs } = await prepared("a");
  const [, second] = await ask("a", CLICK);
  const refining = { points: [...CLICK.points, [1, 1]], labels: [1, 0], mask_token: second.mask_token };
  await ask("a", refining, { multimask: false });
  await ask("a", refining, { multimask: false });
  const again = { points: 1, mask: null, multimask: true, whole: true };
  const refined = { points: 2, mask: 2.25, multimask: false, whole: true };
  assert.deepEqual(graphs.asked, [{ ...again, whole: false }, again, refined, refined]);
});

test("a mask that was refined can be refined again without decoding it again", async () => {
  const { ask, graphs } = await prepared("a");
  const [first] = await ask("a", CLICK, { multimask: false });
  const [second] = await ask("a", { ...CLICK, mask_token: first.mask_token }, { multimask: false });
  await ask("a", { ...CLICK, mask_token: second.mask_token }, { multimask: false });
  assert.deepEqual(graphs.asked.map(({ mask }) => mask), [null, null, 2, 3]);
});

test("a token of another image, of the service or of another decoder is refused", async () => {
  const { ask } = await prepared("a", "b");
  const [mask] = await ask("a", CLICK);
  const other = await prepared("a");
  const refused = { name: "Problem", code: "invalid-prompt" };
  await assert.rejects(ask("b", { ...CLICK, mask_token: mask.mask_token }), refused);
  await assert.rejects(ask("a", { ...CLICK, mask_token: "rq1YqSyx" }), refused);
  await assert.rejects(other.ask("a", { ...CLICK, mask_token: mask.mask_token }), refused);
});

test("old tokens are forgotten, so that hovering for hours does not fill the memory", async () => {
  const refinement = new Refinement();
  const [first] = refinement.issue("a", CLICK, true, [new Float32Array(1)], false);
  for (let k = 0; k < 4096; k++) refinement.issue("a", CLICK, true, [null], false);
  await assert.rejects(refinement.resolve(first, "a", assert.fail), { code: "invalid-prompt" });
});

test("a prompt in a region is decoded in its frame, and the mask lies in its place of the image", async () => {
  const graphs = new PartGraphs();
  const engine = new Engine(graphs);
  await engine.prepare("a@", embedding(), PHOTO, [200, 100, 600, 500]);
  const request = { prompts: [{ points: [[300, 250]], labels: [1], box: [210, 120, 500, 400] }], multimask: false };
  const [{ masks: [mask] }] = await engine.masks("a@", request);
  assert.deepEqual([graphs.points, graphs.box], [[[100, 150]], [10, 20, 300, 300]]);
  assert.deepEqual([mask.bbox, mask.area, mask.rle.size], [[200, 100, 400, 100], 400 * 100, PHOTO]);
  assert.deepEqual(decodeRuns(mask.rle.counts).slice(0, 4), [200 * 600 + 100, 100, 500, 100]);
});

test("points may lie outside a region, up to one image size outside the image", async () => {
  const engine = new Engine(new FakeGraphs());
  await engine.prepare("a@", embedding(), PHOTO, [200, 100, 600, 500]);
  const ask = (x, y) => engine.masks("a@", { prompts: [{ points: [[x, y]], labels: [1] }] });
  await ask(-900, 1200);
  await assert.rejects(ask(-901, 0), { code: "invalid-prompt" });
});

test("a token of the image is refused in a region of it", async () => {
  const { engine, ask } = await prepared("a");
  await engine.prepare("a@", embedding(), PHOTO, [200, 100, 600, 500]);
  const [mask] = await ask("a", CLICK);
  await assert.rejects(ask("a@", { ...CLICK, mask_token: mask.mask_token }), { code: "invalid-prompt" });
});

test("several prompts are answered in order", async () => {
  const { engine } = await prepared("a");
  const results = await engine.masks("a", { prompts: [CLICK, { box: [1, 2, 3, 4] }], multimask: false });
  assert.deepEqual(results.map(({ masks }) => masks.length), [1, 1]);
});
