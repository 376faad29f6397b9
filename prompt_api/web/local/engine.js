/** Answers requests for masks on prepared images, as `prompt_api/service/masks.py` does in the service. */

import { maskRuns } from "./boundary.js";
import { EMBEDDING_SHAPE } from "./sam1.js";
import { readFloat16 } from "./npy.js";
import { checkedPrompts, inPart } from "./prompting.js";
import { Refinement } from "./refinement.js";
import { areaOf, boxOf, encodeRle, placed } from "./runs.js";

export class Engine {
  #graphs;
  #images = new Map();
  #refinement = new Refinement();

  /** @param {import("./graphs.js").Graphs} graphs */
  constructor(graphs) {
    this.#graphs = graphs;
  }

  /**
   * @param {string} image any name, of an image or of a region of it
   * @param {ArrayBuffer} file its embedding, a `.npy` file
   * @param {[number, number]} size [height, width] of the original
   * @param {import("../region.js").Region|null} [region] what the embedding shows; null for the whole image
   */
  async prepare(image, file, size, region = null) {
    const [x0, y0, x1, y1] = region ?? [0, 0, size[1], size[0]];
    const prepared = await this.#graphs.prepare(readFloat16(file, EMBEDDING_SHAPE), [y1 - y0, x1 - x0]);
    this.#images.set(image, { prepared, size, corner: [x0, y0] });
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
    const { prepared, size, corner } = this.#images.get(image);
    const results = [];
    for (const checked of checkedPrompts(request, size)) {
      const prompt = inPart(checked, corner);
      // Most masks are never refined, so their padding is decoded only when one is. The service does the same.
      const whole = prompt.token !== null;
      const { logits, scores } = await this.#decode(image, prompt, multimask, whole);
      const tokens = this.#refinement.issue(image, prompt, multimask, logits, whole);
      const masks = logits.map((one, index) => {
        const runs = placed(maskRuns(one, prepared.size), corner, size);
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
    const mask = prompt.token === null ? null : await this.#refinement.resolve(prompt.token, image, again);
    return this.#graphs.decode(this.#images.get(image).prepared, prompt, { mask, multimask, whole });
  }
}
