/** Strokes of the brush and the eraser on the open picture. One stroke is one step that can be undone. */

import { sweep } from "./brush.js";
import { groundOf, painted } from "./by-hand.js";
import { EMPTY, boxOf, edgesOf, maskFrom, runsOf, united, without } from "./mask-edges.js";
import { announce } from "./notices.js";
import { rememberRuns } from "./overlay.js";

export class Painter {
  #gallery;
  #desk;
  #annotator;
  #diameter;
  #stroke = null;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./desk.js").Desk} desk
   * @param {import("./annotator.js").Annotator} annotator
   * @param {() => number} diameter of the brush in pixels of the picture
   */
  constructor(gallery, desk, annotator, diameter) {
    this.#gallery = gallery;
    this.#desk = desk;
    this.#annotator = annotator;
    this.#diameter = diameter;
  }

  get isDrawing() {
    return this.#stroke !== null;
  }

  /**
   * Starts a stroke with a dab.
   * @param {{x: number, y: number}} place in pixels of the picture; it may lie outside
   * @param {boolean} erasing
   */
  begin(place, erasing) {
    this.cancel();
    const entry = this.#gallery.current;
    if (!entry) return;
    const { target, mask } = groundOf(entry.timeline, entry.selected);
    if (erasing && !mask) return announce("There is nothing to erase. Select an object first.");
    const edges = mask ? edgesOf(mask.rle) : EMPTY;
    const size = [entry.size.height, entry.size.width];
    this.#stroke = { entry, target, erasing, edges, size, diameter: this.#diameter(), last: place };
    this.extend([place]);
  }

  /** Goes on to further places, straight from one to the next. @param {{x: number, y: number}[]} places */
  extend(places) {
    const stroke = this.#stroke;
    if (!stroke) return;
    if (stroke.entry !== this.#gallery.current) return this.cancel();
    const change = stroke.erasing ? without : united;
    for (const place of places) {
      stroke.edges = change(stroke.edges, sweep(stroke.last, place, stroke.diameter, stroke.size));
      stroke.last = place;
    }
    this.#desk.showStroke(shownMask(stroke), stroke.target);
  }

  /** Ends the stroke and keeps what it changed. */
  finish() {
    const stroke = this.#stroke;
    if (!stroke || stroke.entry !== this.#gallery.current) return this.cancel();
    this.#stroke = null;
    this.#desk.showStroke(null, null);
    const mask = maskFrom(stroke.edges, stroke.size);
    this.#annotator.change((state) => painted(state, stroke.target, mask));
    if (mask.area === 0) announce("Everything is erased.");
  }

  /** Ends the stroke as if it had not been. */
  cancel() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#desk.showStroke(null, null);
    this.#desk.render();
  }

  /** A stroke of a single place. */
  dab(place, erasing) {
    this.begin(place, erasing);
    this.finish();
  }
}

/** The mask so far, as the overlay paints it. Its string of runs is written only at the end of the stroke. */
function shownMask({ edges, size }) {
  const mask = { bbox: boxOf(edges, size[0]), rle: { size } };
  rememberRuns(mask, runsOf(edges, size[0] * size[1]));
  return mask;
}
