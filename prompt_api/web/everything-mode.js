/**
 * The mode "every mask": what the service finds on the picture appears as it comes, and a person keeps what is wanted.
 *
 * The mode belongs to one picture and one model. It ends when another picture is shown or another model answers.
 */

import { shareOf } from "./choices.js";
import { PALETTE } from "./classes.js";
import { findEverything, isSettled } from "./everything-job.js";
import { showEverything } from "./everything-row.js";
import { foundMasks, inReadingOrder, leftOf, maskAt } from "./found-masks.js";
import { announce } from "./notices.js";
import { maskOf } from "./objects.js";
import { objectAt } from "./picking.js";
import { isForgotten, sentenceFor } from "./problems.js";
import { isBlank } from "./prompts.js";

export class EverythingMode {
  #parts;
  /**
   * What runs: {entry, image, controller, job, error, masks, objects, left, order, colours, pointed}, or null. `left` are the
   * masks to keep, the smallest first; `order` is the order for the keyboard, made when it is needed; `pointed` is the mask
   * under the pointer or the one that the keyboard went to.
   */
  #run = null;

  /**
   * @param {{service: import("./everything-job.js").Service & {stop: Function}, gallery: import("./gallery.js").Gallery,
   *   stage: import("./stage.js").Stage, desk: import("./desk.js").Desk, isPainting: () => boolean,
   *   keep: (mask: import("./prompts.js").Mask, label?: string) => void,
   *   encode: (entry: import("./gallery.js").Entry) => Promise<void>}} parts `isPainting`: clicks are for the brush; `keep`
   *   makes an object of a mask; `encode` has a picture encoded that the service has forgotten
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Starts the search on the shown picture, or ends the mode. */
  toggle() {
    if (this.#run) this.leave();
    else void this.#start();
  }

  /** Ends the mode. A search that still runs is stopped. @returns {boolean} false if the mode was off */
  leave() {
    const run = this.#run;
    if (!run) return false;
    this.#run = null;
    run.controller.abort();
    const { service, stage, desk } = this.#parts;
    // The masks of a search that has ended stay with the service, so the next search is answered at once.
    if (run.job && !run.error && !isSettled(run.job)) service.stop(run.image, run.job.job).catch(() => {});
    stage.drawFound([]);
    desk.render();
    announce("Every mask: off.");
    return true;
  }

  /** Call this after each change of state: what was kept is no longer offered, and what was undone is again. */
  look() {
    const { gallery } = this.#parts;
    const run = this.#run;
    if (!run) return showEverything(null, gallery.current?.image ?? null);
    if (run.entry !== gallery.current || run.image !== gallery.current.image) return void this.leave();
    if (run.objects !== run.entry.timeline.now.objects) this.#sift(run);
    this.#show(run);
  }

  /**
   * Keeps the mask at a place, if a click there is for it.
   * @param {{x: number, y: number, label: 0|1, onTop?: boolean, byKeyboard?: boolean}} point
   * @returns {boolean} false if the click means something else
   */
  press(point) {
    if (point.label !== 1 || point.onTop) return false;
    const pointed = point.byKeyboard ? this.#run?.pointed : null;
    const mask = pointed ? this.#usable(pointed) : this.#maskAt(point);
    if (mask) this.#keep(mask);
    return mask !== null;
  }

  /**
   * Lights the mask at a place.
   * @param {{x: number, y: number, since: number, byKeyboard?: boolean}|null} place
   * @param {(place: object|null) => void} otherwise is called with the place if there is no mask, and with null if a mask is
   *   lit there
   */
  hover(place, otherwise) {
    const run = this.#run;
    const mask = place && this.#maskAt(place);
    if (!mask) {
      if (run?.pointed) this.#point(run, null);
      return otherwise(place);
    }
    if (mask === run.pointed) return;
    otherwise(null);
    this.#point(run, mask);
    if (place.byKeyboard) this.#announce(run, mask);
  }

  /** Goes to another mask. @param {1|-1} by @returns {boolean} false if there is none to go to */
  step(by) {
    const run = this.#run;
    if (!run || run.left.length === 0 || !isBlank(run.entry.timeline.now.step)) return false;
    const order = this.#orderOf(run);
    const at = order.indexOf(run.pointed);
    // Enter keeps the mask only where the picture has the keys.
    if (document.activeElement === document.body) this.#parts.stage.element.focus({ preventScroll: true });
    const mask = order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length];
    this.#point(run, mask);
    this.#announce(run, mask);
    return true;
  }

  /**
   * Keeps the mask that is lit.
   * @param {string} [label] another than the one in the field
   * @returns {boolean} false if none is lit
   */
  keepPointed(label) {
    const mask = this.#run?.pointed ? this.#usable(this.#run.pointed) : null;
    if (mask) this.#keep(mask, label);
    return mask !== null;
  }

  async #start(isSecond = false) {
    const { gallery, service, encode } = this.#parts;
    const entry = gallery.current;
    const image = entry?.image;
    if (!image) return announce("The picture is not encoded yet.");
    const controller = new AbortController();
    const nothing = { masks: new Map(), objects: null, left: [], order: null, colours: new Map(), pointed: null };
    const run = { entry, image, controller, job: null, error: null, ...nothing };
    this.#run = run;
    announce("Looking for every mask.");
    this.look();
    const only = (act) => (job) => run === this.#run && act(job);
    try {
      const job = await findEverything(service, image, {
        signal: controller.signal,
        onJob: only((seen) => {
          run.job = seen;
          showEverything(run);
        }),
        onMasks: only((seen) => {
          run.masks = foundMasks(seen.masks, run.masks);
          this.#sift(run);
          this.#show(run);
        }),
      });
      if (run !== this.#run) return;
      if (job.status === "stopped") return void this.leave();
      announce(endOf(run.masks.size));
    } catch (error) {
      if (run !== this.#run) return;
      if (isForgotten(error) && !isSecond) {
        this.leave();
        await encode(entry);
        if (entry === gallery.current && !this.#run) await this.#start(true);
        return;
      }
      run.error = error;
      announce(sentenceFor(error));
      showEverything(run);
    }
  }

  /** Finds out which masks are left, and draws them. */
  #sift(run) {
    run.objects = run.entry.timeline.now.objects;
    run.left = leftOf(run.masks, run.objects);
    run.order = null;
    if (run.pointed && !run.left.includes(run.pointed)) run.pointed = null;
    const layers = [...run.left].reverse().map((mask) => ({ mask, colour: colourOf(run.colours, mask) }));
    this.#parts.stage.drawFound(layers);
  }

  /** Draws the lit mask again, which other changes of the desk take away. */
  #show(run) {
    showEverything(run);
    if (run.pointed && isBlank(run.entry.timeline.now.step)) this.#parts.stage.drawMask(run.pointed);
  }

  #point(run, mask) {
    run.pointed = mask;
    if (isBlank(run.entry.timeline.now.step)) this.#parts.stage.drawMask(mask);
    showEverything(run);
  }

  #announce(run, mask) {
    const order = this.#orderOf(run);
    const share = shareOf(mask, run.entry.size);
    announce(`${order.indexOf(mask) + 1} of ${order.length}, score ${mask.score.toFixed(2)}, ${share} of the picture.`);
  }

  #keep(mask, label) {
    const run = this.#run;
    const order = this.#orderOf(run);
    const next = order[order.indexOf(mask) + 1] ?? null;
    this.#parts.keep(mask, label);
    // The next step of the keyboard goes on from here.
    if (this.#run === run) run.order = startingWith(next, this.#orderOf(run));
  }

  #orderOf(run) {
    return (run.order ??= inReadingOrder(run.left, run.entry.size.height));
  }

  /** While a prompt is under way or the brush is taken, a click belongs to that. */
  #usable(mask) {
    return isBlank(this.#run.entry.timeline.now.step) && !this.#parts.isPainting() ? mask : null;
  }

  /** The smallest mask at a place. A kept object that is smaller is in front of it. */
  #maskAt(place) {
    const run = this.#run;
    const mask = run && this.#usable(maskAt(run.left, place));
    if (!mask) return null;
    const object = objectAt(run.objects, run.entry.hidden, place);
    return object && maskOf(object).area < mask.area ? null : mask;
  }
}

/** Each mask keeps its colour when more of them come. */
function colourOf(colours, mask) {
  const key = mask.rle.counts;
  if (!colours.has(key)) colours.set(key, PALETTE[colours.size % PALETTE.length]);
  return colours.get(key);
}

/** The same circle of masks, with `first` at its start. */
function startingWith(first, order) {
  const at = Math.max(0, order.indexOf(first));
  return [...order.slice(at), ...order.slice(0, at)];
}

function endOf(count) {
  if (count === 0) return "No mask was found.";
  const masks = count === 1 ? "1 mask" : `${count} masks`;
  return `Found ${masks}. Comma and full stop go through them, Enter keeps one, Escape ends this.`;
}
