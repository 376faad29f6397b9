/** The size of the brush: a slider, two keys, and a circle around the pointer. */

import { LARGEST, SMALLEST, firstDiameter, isBrush, nextDiameter } from "./brush.js";
import { announce } from "./notices.js";
import { recall, remember } from "./remembered.js";

const KEY = "brush-diameter";
const STEPS = 100;

export class BrushControls {
  #row = document.getElementById("brush-row");
  #slider = document.getElementById("brush-size");
  #text = document.getElementById("brush-size-text");
  #stage;
  #tool;
  /** Null until a person chooses a size. Then it depends on the picture. */
  #chosen = Number.parseInt(recall(KEY), 10) || null;
  #place = null;

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {() => string} tool
   */
  constructor(stage, tool) {
    this.#stage = stage;
    this.#tool = tool;
    this.#slider.addEventListener("input", () => this.#choose(diameterAt(Number(this.#slider.value))));
  }

  /** Pixels of the picture. */
  get diameter() {
    return this.#chosen ?? firstDiameter(this.#stage.size);
  }

  /** Shows the size while a brush is the tool. */
  show() {
    this.#row.hidden = !isBrush(this.#tool());
    this.#slider.value = String(valueOf(this.diameter));
    const words = `${this.diameter} px`;
    this.#slider.setAttribute("aria-valuetext", words);
    this.#text.textContent = words;
    this.moveTo(this.#place);
  }

  /** Makes the brush larger or smaller. @param {1|-1} way */
  resize(way) {
    if (!isBrush(this.#tool())) return;
    this.#choose(nextDiameter(this.diameter, way));
    announce(`Brush of ${this.diameter} pixels.`);
  }

  /** Puts the circle around a place of the picture. Null hides it. @param {{x: number, y: number}|null} place */
  moveTo(place) {
    this.#place = place;
    this.#stage.moveCircle(isBrush(this.#tool()) ? place : null, this.diameter);
  }

  #choose(diameter) {
    this.#chosen = diameter;
    remember(KEY, String(diameter));
    this.show();
  }
}

/** The slider's steps grow with the size. */
function diameterAt(value) {
  return Math.round(SMALLEST * (LARGEST / SMALLEST) ** (value / STEPS));
}

function valueOf(diameter) {
  return Math.round((STEPS * Math.log(diameter / SMALLEST)) / Math.log(LARGEST / SMALLEST));
}
