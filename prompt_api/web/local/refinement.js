/** Mask tokens of masks that were decoded in this browser, and the low-res logits of these masks. */

import { Problem } from "../problems.js";

/** How many masks can be refined. Beyond that, the oldest are forgotten. Each takes a few hundred bytes. */
const TOKENS = 4096;

/** How many masks keep their logits, 256 KiB each. Others are decoded again when they are refined. */
const LOGITS = 48;

/**
 * @typedef {{points: number[][], labels: number[], box: number[]|null, token: string|null,
 *   given: {size: [number, number], counts: string}|null}} Prompt
 * @typedef {(prompt: Prompt, multimask: boolean) => Promise<Float32Array[]>} Decode whole logits, padding included
 */
export class Refinement {
  /** Tells these tokens from those of the service and of earlier decoders. */
  #prefix = `local-${Math.random().toString(36).slice(2, 10)}-`;
  #issued = 0;
  #masks = new Map();
  #logits = new Map();

  /**
   * Issues one token for each mask of an answer.
   * @param {string} image
   * @param {Prompt} prompt
   * @param {boolean} multimask
   * @param {Float32Array[]} logits of each mask
   * @param {boolean} whole whether `logits` have their padding, which the model reads when it refines
   */
  issue(image, prompt, multimask, logits, whole) {
    return logits.map((mask, index) => {
      const token = this.#prefix + this.#issued++;
      keep(this.#masks, token, { image, prompt, multimask, index }, TOKENS);
      if (whole) keep(this.#logits, token, mask, LOGITS);
      return token;
    });
  }

  /**
   * Returns the low-res logits that `token` names: 256 x 256, padding included.
   * @param {string} token
   * @param {string} image
   * @param {Decode} decode used if the logits are not kept
   * @throws {Problem} `invalid-prompt`: the token is unknown here, or belongs to another image
   */
  async resolve(token, image, decode) {
    const mask = this.#masks.get(token);
    if (mask?.image !== image) {
      const detail = "this mask_token was not issued here, or is too old";
      throw new Problem("invalid-prompt", { status: 422, detail });
    }
    const logits = this.#logits.get(token) ?? (await decode(mask.prompt, mask.multimask))[mask.index];
    keep(this.#masks, token, mask, TOKENS);
    keep(this.#logits, token, logits, LOGITS);
    return logits;
  }
}

/** Puts an entry last; drops the first ones beyond `most`. */
function keep(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value);
}
