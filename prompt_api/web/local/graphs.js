/**
 * The split mask decoder of `prompt_api/models/two_way/`, run by ONNX Runtime: an image side once per image, a mask side
 * for each mask that is refined, and a prompt side for each prompt. The docstrings there describe the tensors.
 */

import { resizedSize } from "./geometry.js";
import { PromptSide } from "./prompt-side.js";
import { sparseTokens } from "./prompting.js";
import {
  EMBEDDING_SHAPE,
  FRAME_SIDE,
  GRID,
  HEADS,
  LOW_RES_SIDE,
  MASK_ROWS,
  MASK_UPDATES,
  PLACED,
  PLAIN,
  WIDTH,
  WITH_MASK,
} from "./sam1.js";

const PLACES = GRID * GRID;
const FEATURE = HEADS[0] * HEADS[1] * PLACES;

/** The severity that ONNX Runtime logs from. Its warnings would name every graph that partly runs on the processor. */
const ERRORS = 3;

export class Graphs {
  #ort;
  #sessions;
  #promptSide;

  constructor(ort, sessions) {
    this.#ort = ort;
    this.#sessions = sessions;
    this.#promptSide = new PromptSide(sessions.prompt_side);
  }

  /**
   * @param {object} ort onnxruntime-web
   * @param {{image_side: ArrayBuffer, mask_side: ArrayBuffer, prompt_side: ArrayBuffer}} files
   */
  static async load(ort, files) {
    const sessions = {};
    for (const [name, file] of Object.entries(files)) {
      sessions[name] = await session(ort, file, "wasm");
    }
    return new Graphs(ort, sessions);
  }

  /**
   * Runs prompts on the GPU if that proves to give equal masks faster.
   * @param {object} ort onnxruntime-web's build for WebGPU
   * @param {ArrayBuffer} file the prompt side
   */
  async tryGpu(ort, file) {
    this.#promptSide.tryGpu(await session(ort, file, "webgpu"));
  }

  /**
   * Computes everything that depends on the image alone, about 27 MB.
   * @param {Float32Array} embedding of `EMBEDDING_SHAPE`
   * @param {[number, number]} size [height, width] of the original
   */
  async prepare(embedding, size) {
    const sides = await this.#sessions.image_side.run({ embedding: this.#floats(embedding, EMBEDDING_SHAPE) });
    const features = {};
    for (const [names, stacked] of [[PLACED, sides.placed], [PLAIN, sides.plain]]) {
      names.forEach((name, index) => {
        const values = stacked.data.subarray(index * FEATURE, (index + 1) * FEATURE);
        features[name] = this.#floats(values, [...HEADS, PLACES]);
      });
    }
    const mask = (index) => {
      const rows = MASK_ROWS * PLACES;
      return this.#floats(sides.mask_products.data.subarray(index * rows, (index + 1) * rows), [MASK_ROWS, PLACES]);
    };
    const area = visibleArea(size);
    return {
      size,
      inputs: { ...features, norms: sides.norms },
      masks: { base_mask: mask(0), second_mask: mask(1) },
      whole: { area: this.#integers([GRID, GRID]), upscaled: sides.upscaled },
      visible: { area: this.#integers(area), upscaled: this.#cropped(sides.upscaled.data, area) },
    };
  }

  /**
   * Decodes the masks of one prompt.
   * @param {object} image as `prepare` returns it
   * @param {import("./refinement.js").Prompt} prompt in pixels of the original
   * @param {{mask: Float32Array|null, multimask: boolean, whole: boolean}} options `mask`: low-res logits to refine;
   *   `whole`: false leaves logits at 0 in the padding, which no mask shows but which refining reads
   * @returns {Promise<{logits: Float32Array[], scores: Float32Array}>} 256 x 256 each; three with `multimask`, or one
   */
  async decode(image, prompt, { mask, multimask, whole }) {
    const { points, labels } = sparseTokens(prompt, image.size);
    const { area, upscaled } = whole ? image.whole : image.visible;
    const answer = await this.#promptSide.run({
      ...image.inputs,
      ...(mask ? await this.#maskInputs(image, mask) : this.#noMask()),
      points: this.#floats(points, [labels.length, 2]),
      labels: this.#floats(labels, [labels.length]),
      wanted: this.#integers(multimask ? [1, 4] : [0, 1]),
      area,
      upscaled,
    });
    const scores = answer.scores.data;
    const each = answer.logits.data.length / scores.length;
    const logits = Array.from(scores, (_, index) =>
      arranged(answer.logits.data.subarray(index * each, (index + 1) * each), area.data),
    );
    return { logits, scores };
  }

  async #maskInputs(image, mask) {
    const first = Object.fromEntries(WITH_MASK.map((name) => [name, image.inputs[name]]));
    const changed = await this.#sessions.mask_side.run({
      mask: this.#floats(mask, [1, 1, LOW_RES_SIDE, LOW_RES_SIDE]),
      ...first,
    });
    return {
      ...image.masks,
      ...Object.fromEntries(WITH_MASK.map((name) => [name, changed[`${name}_with_mask`]])),
      mask_rows: changed.mask_rows,
      mask_updates: changed.mask_updates,
    };
  }

  #noMask() {
    const none = this.#floats(new Float32Array(0), [0, PLACES]);
    const updates = this.#floats(new Float32Array(0), [0, MASK_UPDATES]);
    return { mask_rows: none, base_mask: none, second_mask: none, mask_updates: updates };
  }

  #cropped(upscaled, [rows, columns]) {
    const values = new Float32Array(rows * columns * WIDTH);
    for (let row = 0; row < rows; row++) {
      const from = row * GRID * WIDTH;
      values.set(upscaled.subarray(from, from + columns * WIDTH), row * columns * WIDTH);
    }
    return this.#floats(values, [rows * columns, WIDTH]);
  }

  #floats(values, shape) {
    return new this.#ort.Tensor("float32", values, shape);
  }

  #integers(values) {
    return new this.#ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
  }
}

function session(ort, file, provider) {
  return ort.InferenceSession.create(new Uint8Array(file), { executionProviders: [provider], logSeverityLevel: ERRORS });
}

/**
 * How many rows and columns of the embedding the image needs without its padding. For the last pixel of a side, the
 * bilinear resize from 256 to 1024 reads the low-res sample at (side - 0.5) / 4 - 0.5 and the next.
 */
export function visibleArea(size) {
  const perPlace = FRAME_SIDE / GRID / 4;
  return resizedSize(size).map((side) => {
    const samples = Math.floor(Math.max(side / 4 - 0.625, 0)) + 2;
    return Math.min(GRID, Math.ceil(samples / perPlace));
  });
}

/**
 * Puts the logits of one mask, in the order of the prompt side, into a frame of 256 x 256 that is 0 elsewhere.
 * @param {Float32Array} logits for each place of the area, its 2 x 2 sub-pixels (y, x), each with 2 x 2 of its own
 * @param {ArrayLike<bigint|number>} area rows and columns of the embedding, from the top left
 */
export function arranged(logits, area) {
  const [rows, columns] = Array.from(area, Number);
  const frame = new Float32Array(LOW_RES_SIDE * LOW_RES_SIDE);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let part = 0; part < 4; part++) {
        const start = (4 * row + (part & 2)) * LOW_RES_SIDE + 4 * column + 2 * (part & 1);
        for (const offset of [0, 1, LOW_RES_SIDE, LOW_RES_SIDE + 1]) frame[start + offset] = logits[at++];
      }
    }
  }
  return frame;
}
