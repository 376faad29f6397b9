import assert from "node:assert/strict";
import { test } from "node:test";

import { arranged, visibleArea } from "../../../prompt_api/web/local/graphs.js";
import { readFloat16 } from "../../../prompt_api/web/local/npy.js";
import { checkedPrompts, sparseTokens } from "../../../prompt_api/web/local/prompting.js";
import { encodeRuns } from "../../../prompt_api/web/rle.js";
import { digest, vectors } from "./vectors.mjs";

for (const { size, prompt, points, labels } of vectors.prompts) {
  test(`${JSON.stringify(prompt)} on ${size} becomes the service's tokens`, () => {
    const [checked] = checkedPrompts({ prompts: [prompt] }, size);
    const tokens = sparseTokens(checked, size);
    assert.deepEqual(Array.from(tokens.points), points);
    assert.deepEqual(Array.from(tokens.labels), labels);
  });
}

for (const { size, area } of vectors.visible) {
  test(`the visible part of the embedding for ${size} is the service's`, () => {
    assert.deepEqual(visibleArea(size), area);
  });
}

for (const { area, frame } of vectors.arranged) {
  test(`logits of ${area} places are arranged as the service arranges them`, () => {
    const logits = Float32Array.from({ length: 16 * area[0] * area[1] }, (_, index) => index + 1);
    assert.equal(digest(arranged(logits, area.map(BigInt))), frame);
  });
}

const IMAGE = [100, 200];
const REFUSED = {
  "no prompt at all": {},
  "a point without a label": { points: [[1, 1]], labels: [] },
  "a box inside out": { box: [9, 1, 2, 4] },
  "a point far outside": { points: [[401, 50]], labels: [1] },
  "a box far outside": { box: [0, -101, 5, 5] },
  "a coordinate that is no number": { points: [[NaN, 5]], labels: [1] },
  "what only the service can do": { mask_logits: "AAAA" },
};

for (const [what, prompt] of Object.entries(REFUSED)) {
  test(`${what}: refused as the service refuses it`, () => {
    assert.throws(() => checkedPrompts({ prompts: [prompt] }, IMAGE), { name: "Problem", code: "invalid-prompt" });
  });
}

test("a mask as a prompt gets the box around it and the positive points, unless there is a box", () => {
  const mask = { rle: { size: [3, 4], counts: encodeRuns([4, 1, 7]) } };
  const of = (more) => checkedPrompts({ prompts: [{ mask, ...more }] }, [3, 4])[0].box;
  assert.deepEqual(of({}), [1, 1, 2, 2]);
  assert.deepEqual(of({ points: [[3, 0], [0, 2]], labels: [1, 0] }), [1, 0, 3, 2]);
  assert.deepEqual(of({ box: [0, 0, 4, 3] }), [0, 0, 4, 3]);
  for (const rle of [{ size: [4, 3], counts: mask.rle.counts }, { size: [3, 4], counts: "<" }, { size: [3, 4], counts: "99" }]) {
    assert.throws(() => checkedPrompts({ prompts: [{ mask: { rle } }] }, [3, 4]), { code: "invalid-prompt" });
  }
});

test("formats other than rle are refused", () => {
  const prompts = [{ points: [[1, 1]], labels: [1] }];
  assert.throws(() => checkedPrompts({ prompts, format: "png" }, IMAGE), { code: "invalid-prompt" });
});

/** A `.npy` file of float16 numbers, given as their bits. */
function npy(halves, shape = `(${halves.length},)`) {
  const header = `{'descr': '<f2', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117) + "\n";
  const bytes = new Uint8Array(128 + 2 * halves.length);
  bytes.set(Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1"));
  bytes.set(Buffer.from(header, "latin1"), 10);
  bytes.set(new Uint8Array(halves.buffer), 128);
  return bytes.buffer;
}

test("every finite float16 is read exactly", () => {
  const halves = Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits);
  assert.equal(digest(readFloat16(npy(halves, "(8, 3968)"), [8, 3968])), vectors.float16);
  const negative = readFloat16(npy(halves.map((bits) => bits | 0x8000), "(8, 3968)"), [8, 3968]);
  assert.equal(digest(negative.map((value) => -value)), vectors.float16);
});

test("a file of another shape, part of a file, and a file of another kind are refused", () => {
  const whole = npy(new Uint16Array(4), "(2, 2)");
  assert.throws(() => readFloat16(whole, [4, 1]), RangeError);
  assert.throws(() => readFloat16(whole.slice(0, -2), [2, 2]), RangeError);
  assert.throws(() => readFloat16(new ArrayBuffer(3), [2, 2]), RangeError);
  assert.throws(() => readFloat16(new TextEncoder().encode('{"type": "urn:…"}').buffer, [2, 2]), RangeError);
});
