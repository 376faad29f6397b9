/**
 * The mode "every mask": what the service finds on the picture appears as it comes, and a person keeps what is wanted.
 *
 * The mode belongs to one picture and one model. It ends when another picture is shown or another model answers.
 */

import { PALETTE } from "./classes.js";
import { findEverything, isSettled } from "./everything-job.js";
import { showEverything } from "./everything-row.js";
import { foundMasks, leftOf } from "./found-masks.js";
import { announce } from "./notices.js";
import { Offer } from "./offer.js";
import { isForgotten, sentenceFor } from "./problems.js";

export class EverythingMode {
  #parts;
  /**
   * What runs: {entry, image, controller, job, error, masks, objects, offer, colours}, or null. `offer` has the masks to
   * keep.
   */
  #run = null;

  /**
   * @param {{service: import("./everything-job.js").Service & {stop: Function}, gallery: import("./gallery.js").Gallery,
   *   stage: import("./stage.js").Stage, desk: import("./desk.js").Desk, isPainting: () => boolean, takeKeys: () => void,
   *   keep: (mask: import("./prompts.js").Mask, label?: string) => void,
   *   encode: (entry: import("./gallery.js").Entry) => Promise<void>}} parts `isPainting`: clicks are for the brush;
   *   `takeKeys` gives the keys to the picture; `keep` makes an object of a mask; `encode` has a picture encoded that the
   *   service has forgotten
   */
  constructor(parts) {
    this.#parts = parts;
  }

  get isOn() {
    return this.#run !== null;
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
    const { service, desk } = this.#parts;
    // The masks of a search that has ended stay with the service, so the next search is answered at once.
    if (run.job && !run.error && !isSettled(run.job)) service.stop(run.image, run.job.job).catch(() => {});
    run.offer.close();
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
    if (!this.#run || point.label !== 1 || point.onTop) return false;
    const { offer } = this.#run;
    const mask = (point.byKeyboard ? offer.usable : null) ?? offer.at(point);
    if (mask) this.#keep(mask);
    return mask !== null;
  }

  /** Lights the mask at a place, as `Offer.hover`. */
  hover(place, otherwise) {
    if (this.#run) this.#run.offer.hover(place, otherwise);
    else otherwise(place);
  }

  /** Goes to another mask. @param {1|-1} by @returns {boolean} false if there is none to go to */
  step(by) {
    return this.#run?.offer.step(by) ?? false;
  }

  /**
   * Keeps the mask that is lit.
   * @param {string} [label] another than the one in the field
   * @returns {boolean} false if none is lit
   */
  keepPointed(label) {
    const mask = this.#run?.offer.usable ?? null;
    if (mask) this.#keep(mask, label);
    return mask !== null;
  }

  async #start(isSecond = false) {
    const { gallery, service, encode, ...parts } = this.#parts;
    const entry = gallery.current;
    const image = entry?.image;
    if (!image) return announce("The picture is not encoded yet.");
    const controller = new AbortController();
    const onPointed = () => showEverything(run);
    const offer = new Offer(entry, { ...parts, onPointed, worthOf: ({ score }) => `score ${score.toFixed(2)}` });
    const run = { entry, image, controller, job: null, error: null, masks: new Map(), objects: null, offer, colours: new Map() };
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
    run.offer.show(leftOf(run.masks, run.objects), (mask) => colourOf(run.colours, mask));
  }

  #show(run) {
    showEverything(run);
    run.offer.redraw();
  }

  #keep(mask, label) {
    this.#run.offer.goOnAfter(mask, () => this.#parts.keep(mask, label));
  }
}

/** Each mask keeps its colour when more of them come. */
function colourOf(colours, mask) {
  const key = mask.rle.counts;
  if (!colours.has(key)) colours.set(key, PALETTE[colours.size % PALETTE.length]);
  return colours.get(key);
}

function endOf(count) {
  if (count === 0) return "No mask was found.";
  const masks = count === 1 ? "1 mask" : `${count} masks`;
  return `Found ${masks}. Comma and full stop go through them, Enter keeps one, Escape ends this.`;
}
