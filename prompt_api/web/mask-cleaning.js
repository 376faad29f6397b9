/** The switch that cleans the masks of answers: it fills small holes and removes specks. It is off until it is turned on. */

import { clean } from "./cleaning.js";
import { recall, remember } from "./remembered.js";

const CHOICE = "clean-masks";

/** A hole or part is small up to the square of this share of the picture's longer side: 4x4 cells of SAM's own mask. */
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
    const results = answer.results.map((result) => ({ ...result, masks: result.masks.map(withoutSmallParts) }));
    return { ...answer, results };
  }
}

/** @param {import("./prompts.js").Mask} mask */
export function withoutSmallParts(mask) {
  const area = Math.floor((Math.max(...mask.rle.size) * SMALL) ** 2);
  return clean(mask, { fillHoles: area, removeSpecks: area });
}
