/** Masks that are offered on a picture: they are drawn on it, and one of them is lit by the pointer or the keyboard. */

import { shareOf } from "./choices.js";
import { inReadingOrder, maskAt } from "./found-masks.js";
import { announce } from "./notices.js";
import { maskOf } from "./objects.js";
import { objectAt } from "./picking.js";
import { isBlank } from "./prompts.js";

/** @typedef {import("./prompts.js").Mask} Mask */

export class Offer {
  /** @type {Mask[]} those that are drawn, the smallest first */
  masks = [];
  /** @type {Mask[]} those that only a pointer finds, the smallest first */
  #others = [];
  /** @type {Mask|null} the mask under the pointer, or the one that the keyboard went to */
  pointed = null;
  #entry;
  #parts;
  /** The order for the keyboard, made when it is needed. */
  #order = null;

  /**
   * @param {import("./gallery.js").Entry} entry the shown picture
   * @param {{stage: import("./stage.js").Stage, isPainting: () => boolean, takeKeys: () => void,
   *   onPointed: () => void, worthOf: (mask: Mask) => string}} parts `isPainting`: clicks are for the brush; `takeKeys` gives
   *   the keys to the picture; `onPointed` is called after another mask was lit; `worthOf` says how good a mask is, such as
   *   "score 0.93"
   */
  constructor(entry, parts) {
    this.#entry = entry;
    this.#parts = parts;
  }

  /** While a prompt is under way or the brush is taken, a click belongs to that. */
  get isFree() {
    return isBlank(this.#entry.timeline.now.step) && !this.#parts.isPainting();
  }

  /**
   * Offers these masks and no others.
   * @param {Mask[]} masks the smallest first
   * @param {(mask: Mask) => string|null} colourOf "#rrggbb"; null for a mask that is not drawn, but lit by a pointer
   */
  show(masks, colourOf) {
    const layers = masks.map((mask) => ({ mask, colour: colourOf(mask) }));
    const drawn = layers.filter(({ colour }) => colour !== null);
    this.masks = drawn.map(({ mask }) => mask);
    this.#others = layers.filter(({ colour }) => colour === null).map(({ mask }) => mask);
    this.#order = null;
    if (!masks.includes(this.pointed)) this.pointed = null;
    this.#parts.stage.drawFound(drawn.reverse());
  }

  /** Draws the lit mask again, which other changes of the desk take away. */
  redraw() {
    if (this.pointed && isBlank(this.#entry.timeline.now.step)) this.#light();
  }

  /** Takes all masks away. */
  close() {
    this.#parts.stage.drawFound([]);
  }

  /** The smallest mask at a place, if a click there is for it. A kept object that is smaller is in front of it. */
  at(place) {
    const mask = this.isFree ? (maskAt(this.masks, place) ?? maskAt(this.#others, place)) : null;
    if (!mask) return null;
    const object = objectAt(this.#entry.timeline.now.objects, this.#entry.hidden, place);
    return object && maskOf(object).area < mask.area ? null : mask;
  }

  /** The lit mask, if a key is for it. */
  get usable() {
    return this.isFree ? this.pointed : null;
  }

  /**
   * Lights the mask at a place.
   * @param {{x: number, y: number, since: number, byKeyboard?: boolean}|null} place
   * @param {(place: object|null) => void} otherwise is called with the place if there is no mask, and with null if a mask is
   *   lit there
   */
  hover(place, otherwise) {
    const mask = place && this.at(place);
    if (!mask) {
      if (this.pointed) this.#point(null);
      return otherwise(place);
    }
    if (mask === this.pointed) return;
    otherwise(null);
    this.#point(mask);
    if (place.byKeyboard) this.#announce(mask);
  }

  /** Goes to another mask. @param {1|-1} by @returns {boolean} false if there is none to go to */
  step(by) {
    if (this.masks.length === 0 || !isBlank(this.#entry.timeline.now.step)) return false;
    const order = this.#ordered();
    const at = order.indexOf(this.pointed);
    // Enter keeps the mask only where the picture has the keys.
    if (document.activeElement === document.body) this.#parts.takeKeys();
    const mask = order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length];
    this.#point(mask);
    this.#announce(mask);
    return true;
  }

  /** Calls `act`, after which this mask may be gone. The next step of the keyboard goes on from where it was. */
  goOnAfter(mask, act) {
    const order = this.#ordered();
    const next = order[order.indexOf(mask) + 1] ?? null;
    act();
    this.#order = startingWith(next, this.#ordered());
  }

  #point(mask) {
    this.pointed = mask;
    if (isBlank(this.#entry.timeline.now.step)) this.#light();
    this.#parts.onPointed();
  }

  #light() {
    const { pointed } = this;
    this.#parts.stage.drawMask(pointed, { faint: this.#others.includes(pointed) });
  }

  #announce(mask) {
    const order = this.#ordered();
    const at = order.indexOf(mask);
    const share = shareOf(mask, this.#entry.size);
    announce(`${at < 0 ? "Not lit" : `${at + 1} of ${order.length}`}, ${this.#parts.worthOf(mask)}, ${share} of the picture.`);
  }

  #ordered() {
    return (this.#order ??= inReadingOrder(this.masks, this.#entry.size.height));
  }
}

/** The same circle of masks, with `first` at its start. */
function startingWith(first, order) {
  const at = Math.max(0, order.indexOf(first));
  return [...order.slice(at), ...order.slice(0, at)];
}
