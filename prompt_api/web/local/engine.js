/** Answers requests for masks on prepared images, as `prompt_api/service/masks.py` does in the service. */

import { columnRuns } from "../column-runs.js";
import { maskRuns } from "./boundary.js";
import { lowResLogits } from "./given-mask.js";
import { EMBEDDING_SHAPE } from "./sam1.js";
import { readFloat16 } from "./npy.js";
import { checkedPrompts } from "./prompting.js";
import { Refinement } from "./refinement.js";
import { areaOf, boxOf, encodeRle } from "./runs.js";

export class Engine {
  #graphs;
  #images = new Map();
  #refinement = new Refinement();

  /** @param {import("./graphs.js").Graphs} graphs */
  constructor(graphs) {
    this.#graphs = graphs;
  }

  /**
   * @param {string} image any name
   * @param {ArrayBuffer} file its embedding, a `.npy` file
   * @param {[number, number]} size [height, width] of the original
   */
  async prepare(image, file, size) {
    this.#images.set(image, await this.#graphs.prepare(readFloat16(file, EMBEDDING_SHAPE), size));
  }

  forget(image) {
    this.#images.delete(image);
  }

  /**
   * Returns the `results` of an answer to the request.
   * @param {string} image the name of a prepared image
   * @param {object} request body of `POST …/masks`
   * @throws {Problem} `invalid-prompt`
   */
  async masks(image, request) {
    const { multimask = true } = request;
    const { size } = this.#images.get(image);
    const results = [];
    for (const prompt of checkedPrompts(request, size)) {
      // Most masks are never refined, so their padding is decoded only when one is. The service does the same.
      const whole = prompt.token !== null || prompt.given !== null;
      const { logits, scores } = await this.#decode(image, prompt, multimask, whole);
      const tokens = this.#refinement.issue(image, prompt, multimask, logits, whole);
      const masks = logits.map((one, index) => {
        const runs = maskRuns(one, size);
        return {
          score: scores[index],
          area: areaOf(runs),
          bbox: boxOf(runs),
          rle: encodeRle(runs),
          mask_token: tokens[index],
        };
      });
      results.push({ masks });
    }
    return results;
  }

  async #decode(image, prompt, multimask, whole) {
    const again = async (earlier, several) => (await this.#decode(image, earlier, several, true)).logits;
    const mask = prompt.token === null ? given(prompt) : await this.#refinement.resolve(prompt.token, image, again);
    return this.#graphs.decode(this.#images.get(image), prompt, { mask, multimask, whole });
  }
}

/** The logits of the mask that a prompt brings with it, or null. */
function given({ given: rle }) {
  return rle && lowResLogits(columnRuns(rle));
}
