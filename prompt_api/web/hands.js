/** What a person does with the hands: clicks on kept objects, and strokes of the brush and the eraser. */

import { isBrush } from "./brush.js";
import { BrushControls } from "./brush-controls.js";
import { Painter } from "./painting.js";
import { Picker } from "./picking.js";

export class Hands {
  #annotator;
  #tool;
  #controls;
  #painter;
  #picker;

  /**
   * @param {{gallery: import("./gallery.js").Gallery, stage: import("./stage.js").Stage,
   *   desk: import("./desk.js").Desk, annotator: import("./annotator.js").Annotator}} parts
   * @param {() => string} tool the chosen tool
   */
  constructor({ gallery, stage, desk, annotator }, tool) {
    this.#annotator = annotator;
    this.#tool = tool;
    this.#controls = new BrushControls(stage, tool);
    this.#painter = new Painter(gallery, desk, annotator, () => this.#controls.diameter);
    this.#picker = new Picker(gallery, desk, annotator);
  }

  /** True during a stroke. */
  get isDrawing() {
    return this.#painter.isDrawing;
  }

  /** Shows what belongs to the chosen tool. */
  showTool() {
    this.#painter.cancel();
    this.#controls.show();
  }

  /** A click, a tap or the Enter key: a dab of the brush, a selection, or a prompt. */
  point(point) {
    if (isBrush(this.#tool())) this.#painter.dab(point, this.#erases(point.label === 0));
    else if (!this.#picker.press(point)) this.#annotator.addPoint(point);
  }

  /** A double click. */
  twice(place) {
    if (!isBrush(this.#tool())) this.#picker.pressTwice(place);
  }

  /** @param {{x: number, y: number, since: number, byKeyboard?: boolean}|null} place */
  hover(place) {
    this.#controls.moveTo(place);
    const isTaken = isBrush(this.#tool()) || this.#picker.hover(place);
    this.#annotator.hover(isTaken ? null : place);
  }

  /** Strokes of the pointer. @type {import("./gestures.js").Strokes} */
  strokes = {
    begin: (place, isOther) => {
      this.#controls.moveTo(place);
      this.#painter.begin(place, this.#erases(isOther));
    },
    extend: (places) => {
      this.#controls.moveTo(places.at(-1));
      this.#painter.extend(places);
    },
    finish: () => this.#painter.finish(),
    cancel: () => this.#painter.cancel(),
  };

  /** The actions of keys. */
  actions = {
    smaller: () => this.#controls.resize(-1),
    larger: () => this.#controls.resize(1),
    "delete-selected": () => this.#picker.remove(),
    deselect: () => this.#picker.select(null),
  };

  /** The brush erases while it is turned around, and the eraser paints. */
  #erases(isOther) {
    return (this.#tool() === "erase") !== isOther;
  }
}
