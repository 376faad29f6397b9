/** What a person wants cleaned in the masks of the answers. Nothing is cleaned unless they ask for it. */

import { recall, remember } from "./remembered.js";

const KEY = "clean-masks";
/** No hole and no speck is larger than the largest picture. */
const MOST_PIXELS = 1e9;
const PARTS = ["all", "largest", "clicked"];

export class CleanOptions {
  #holes = document.getElementById("clean-holes");
  #specks = document.getElementById("clean-specks");
  #keep = document.getElementById("clean-keep");

  /** @param {() => void} onChange called after each change */
  constructor(onChange) {
    const { fillHoles, removeSpecks, keep } = stored();
    this.#holes.value = String(pixels(fillHoles));
    this.#specks.value = String(pixels(removeSpecks));
    this.#keep.value = PARTS.includes(keep) ? keep : PARTS[0];
    for (const field of [this.#holes, this.#specks, this.#keep]) {
      field.addEventListener("change", () => {
        remember(KEY, JSON.stringify(this.cleaning));
        onChange();
      });
    }
  }

  /** @returns {import("./cleaning.js").Cleaning} without points */
  get cleaning() {
    return { fillHoles: pixels(this.#holes.value), removeSpecks: pixels(this.#specks.value), keep: this.#keep.value };
  }
}

/** A number of pixels. 0 for everything that is none. */
function pixels(value) {
  const number = Math.floor(Number(value));
  return number > 0 ? Math.min(number, MOST_PIXELS) : 0;
}

function stored() {
  try {
    return JSON.parse(recall(KEY)) ?? {};
  } catch {
    return {};
  }
}
