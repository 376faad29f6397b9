/** The switch that cleans the masks of answers: it fills small holes and removes specks. It is off until it is turned on. */

import { clean } from "./cleaning.js";
import { longSide } from "./region.js";
import { recall, remember } from "./remembered.js";

const CHOICE = "clean-masks";

/**
 * A hole or part is small up to the square of this share of the longer side of what answered, the picture or a region of
 * it: 4x4 cells of SAM's own mask.
 */
const SMALL = 1 / 64;

export class MaskCleaning {
  #input = document.getElementById("clean");

  constructor() {
    this.#input.checked = recall(CHOICE) === "on";
    this.#input.addEventListener("change", () => remember(CHOICE, this.#input.checked ? "on" : null));
  }

  /** The answer with clean masks, if the switch is on. @param {import("./decoding.js").Answer} answer */
  applied(answer) {
    if (!this.#input.checked) return answer;
    const cleaned = (mask) => this.cleaned(mask, answer.region);
    const results = answer.results.map((result) => ({ ...result, masks: result.masks.map(cleaned) }));
    return { ...answer, results };
  }

  /** The clean mask, if the switch is on. @param {import("./prompts.js").Mask} mask */
  cleaned(mask, region = null) {
    return this.#input.checked ? withoutSmallParts(mask, region) : mask;
  }
}

/**
 * @param {import("./prompts.js").Mask} mask
 * @param {import("./region.js").Region|null} region that gave the mask; null for the whole picture
 */
export function withoutSmallParts(mask, region = null) {
  const side = region ? longSide(region) : Math.max(...mask.rle.size);
  const area = Math.floor((side * SMALL) ** 2);
  return clean(mask, { fillHoles: area, removeSpecks: area });
}
