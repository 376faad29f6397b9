/**
 * The mode "all like this": what looks like a kept object is offered on the picture, and a person keeps all of it at once.
 *
 * Without an object on the picture, what other pictures have of each class is looked for: the classes are carried on. The
 * mode belongs to one picture and one model. It ends when another picture is shown or another model answers.
 */

import { endOf, hasFocus, listenToSlider, showAlike, textOf } from "./alike-row.js";
import { LIT_SIMILARITY, candidatesOf, isLit, litOf, offered, requestFor, unjudgedOf, wishFor } from "./alike-search.js";
import { carriedWishes } from "./carrying.js";
import { classNamed } from "./classes.js";
import { announce } from "./notices.js";
import { Offer } from "./offer.js";
import { patiently } from "./patience.js";
import { isForgotten } from "./problems.js";
import { chosenMask, isBlank } from "./prompts.js";

/** Milliseconds after the last verdict before the search is asked again, so that several are one request. */
const TEACHING_REST = 500;

export class AlikeMode {
  #parts;
  /**
   * What runs: {entry, image, searches, isCarried, verdicts, objects, candidates, least, isAsking, error, offer, round,
   * timer}, or null. `searches` are wishes with what was `found` for them, and `isDue` until they are answered; `verdicts` has
   * what the person said of a candidate, 1 or 0; `candidates` are those to show by falling similarity; those of at least the
   * similarity `least` are lit; `round` aborts the requests under way.
   */
  #run = null;
  /** Image resources whose carried classes the person has decided on. */
  #decided = new WeakSet();

  /**
   * @param {{service: typeof import("./alike-api.js"), gallery: import("./gallery.js").Gallery,
   *   stage: import("./stage.js").Stage, desk: import("./desk.js").Desk, classes: import("./class-book.js").ClassBook,
   *   isPainting: () => boolean, takeKeys: () => void, cleaned: (mask: import("./prompts.js").Mask) => object,
   *   keepPresent: () => void, keepAll: (found: import("./adopting.js").Found[]) => void,
   *   encode: (entry: import("./gallery.js").Entry) => Promise<void>}} parts `isPainting`: clicks are for the brush;
   *   `takeKeys` gives the keys to the picture; `cleaned` returns a mask without small holes, if the person wants that;
   *   `keepPresent` keeps the mask of the present prompt; `encode` has a picture encoded that the service has forgotten
   */
  constructor(parts) {
    this.#parts = parts;
    listenToSlider((count) => this.#light(count), () => this.#keepLit());
  }

  /** What a person can do in this mode, or null if it is off. */
  get hint() {
    if (!this.#run) return null;
    const touch = matchMedia("(pointer: coarse)").matches;
    return touch ? "Tap on what does not belong. Keep takes the rest." : "Click on what does not belong. Enter keeps the rest.";
  }

  get isOn() {
    return this.#run !== null;
  }

  /** Looks for what is like the selected object, the present mask or the object kept last; or ends the mode. */
  toggle() {
    if (this.#run) return this.leave();
    const entry = this.#parts.gallery.current;
    if (!entry?.image) return announce("The picture is not encoded yet.");
    const { step, editing } = entry.timeline.now;
    const isPrompted = chosenMask(step) !== null;
    if (isPrompted) this.#parts.keepPresent();
    const { objects } = entry.timeline.now;
    const wanted = isPrompted ? editing : entry.selected;
    const example = objects.find(({ id }) => id === wanted) ?? objects.at(-1);
    if (example) this.findLike(example.id);
    else if (!this.#carry(entry)) announce("Keep an object first.");
  }

  /** Looks for what is like a kept object. @param {number} id of the object */
  findLike(id) {
    this.#end();
    const { gallery: { current: entry } } = this.#parts;
    const { objects } = entry.timeline.now;
    const example = objects.find((object) => object.id === id);
    if (!example || !entry.image) return;
    entry.selected = id;
    announce(`Looking for what is like ${example.label}.`);
    void this.#start(entry, [wishFor(example, objects, entry.image.image_id)], { isCarried: false });
  }

  /** Offers on a picture without objects what other pictures have of each class, unless the person has decided on that. */
  carryOn(entry) {
    const { timeline, done, image } = entry;
    const isNew = timeline.now.objects.length === 0 && isBlank(timeline.now.step) && !done && !this.#decided.has(image);
    if (isNew) this.#carry(entry);
  }

  /** Ends the mode. @returns {boolean} false if it was off */
  leave() {
    const run = this.#end();
    if (!run) return false;
    this.#decided.add(run.image);
    this.#parts.desk.render();
    announce("All like this: off.");
    return true;
  }

  /** Call this after each change of state: what was kept is no longer offered, and what was undone is again. */
  look() {
    const { gallery: { current }, classes } = this.#parts;
    const run = this.#run;
    if (!run) return showAlike(null, Boolean(current?.image));
    const isOver = run.entry !== current || run.image !== current.image;
    // A class that was renamed or removed meanwhile is not what the search was for.
    if (isOver || run.searches.some(({ label }) => !classNamed(classes.list, label))) {
      this.#end();
      return this.#parts.desk.render();
    }
    if (run.objects !== run.entry.timeline.now.objects) this.#sift(run);
    this.#show(run);
  }

  /**
   * A click on a lit mask takes it away, and one on another mask that was found adds it. Enter keeps all that are lit.
   * @param {{x: number, y: number, label: 0|1, onTop?: boolean, byKeyboard?: boolean}} point
   * @returns {boolean} false if the click means something else
   */
  press(point) {
    const run = this.#run;
    if (!run || point.onTop) return false;
    if (point.byKeyboard && point.label === 1) return this.keepPointed();
    const mask = (point.byKeyboard ? run.offer.usable : null) ?? run.offer.at(point);
    if (!mask || (point.label === 0 && !isLit(run, mask))) return false;
    this.#judge(mask);
    return true;
  }

  /** Lights the mask at a place, as `Offer.hover`. */
  hover(place, otherwise) {
    if (this.#run) this.#run.offer.hover(place, otherwise);
    else otherwise(place);
  }

  /** Goes to another lit mask. @param {1|-1} by @returns {boolean} false if there is none to go to */
  step(by) {
    return this.#run?.offer.step(by) ?? false;
  }

  /** Takes the mask away that the pointer or the keyboard is at, or adds it again. @returns {boolean} false if it is at none */
  rejectPointed() {
    const mask = this.#run?.offer.usable ?? null;
    if (mask) this.#judge(mask);
    return mask !== null;
  }

  /**
   * Keeps all masks that are lit.
   * @param {string} [label] of another class: keeps only the mask under the pointer, under that class
   * @returns {boolean} false if the key is not for this mode now
   */
  keepPointed(label) {
    const run = this.#run;
    if (!run?.offer.isFree) return false;
    if (label === undefined) return this.#keepLit();
    const mask = run.offer.pointed;
    if (mask) run.offer.goOnAfter(mask, () => this.#parts.keepAll([foundOf(mask, label)]));
    return mask !== null;
  }

  /** @returns {boolean} false if no wish can be made */
  #carry(entry) {
    const { gallery, classes } = this.#parts;
    const wishes = carriedWishes(gallery.entries, entry, classes.list);
    if (wishes.length === 0) return false;
    announce(`Looking for ${wishes.map(({ label }) => label).join(", ")}.`);
    void this.#start(entry, wishes, { isCarried: true });
    return true;
  }

  async #start(entry, wishes, { isCarried, isSecond = false }) {
    const { encode, ...parts } = this.#parts;
    const { image } = entry;
    const onPointed = () => showAlike(run);
    const offer = new Offer(entry, { ...parts, onPointed, worthOf: ({ similarity }) => `similarity ${similarity.toFixed(2)}` });
    const searches = wishes.map((wish) => ({ ...wish, found: [], isCut: false, isGone: false, isDue: true }));
    const shown = { verdicts: new Map(), objects: null, candidates: [], least: LIT_SIMILARITY };
    const run = { entry, image, searches, isCarried, ...shown, isAsking: true, error: null, offer, round: null, timer: null };
    this.#run = run;
    this.#parts.desk.render();
    // On the button that started the search, Enter would end it.
    parts.takeKeys();
    await this.#ask(run);
    if (run !== this.#run || run.isAsking) return;
    if (!isForgotten(run.error) || isSecond) return announce(endOf(run));
    this.#end();
    await encode(entry);
    const isHere = entry === this.#parts.gallery.current && entry.image && !this.#run;
    if (isHere) await this.#start(entry, wishes, { isCarried, isSecond: true });
  }

  /** Asks for the searches that are due, one after the other. Never throws. */
  async #ask(run) {
    const { cleaned } = this.#parts;
    run.round?.abort();
    const { signal } = (run.round = new AbortController());
    run.isAsking = true;
    run.error = null;
    this.#show(run);
    try {
      for (const search of run.searches.filter(({ isDue }) => isDue)) {
        const answer = await this.#answer(run, search, signal);
        if (signal.aborted) return;
        search.isDue = false;
        search.isGone = answer === null;
        search.isCut = answer?.truncated ?? false;
        search.found = answer ? candidatesOf(answer, search.label).map(cleaned) : search.found;
        this.#sift(run);
        this.#show(run);
      }
    } catch (error) {
      if (signal.aborted) return;
      run.error = error;
    }
    run.isAsking = false;
    this.#show(run);
  }

  /** Returns null if the service does not have an example's picture. */
  async #answer(run, search, signal) {
    const { service } = this.#parts;
    const ask = () => service.findSimilar(run.image, requestFor(search, run.verdicts, run.entry.timeline.now.objects), { signal });
    try {
      return await patiently(ask, { pause: service.pause, signal });
    } catch (error) {
      if (isExampleGone(error, run.isCarried)) return null;
      throw error;
    }
  }

  /** Lights the candidates that are most similar, this many of those that nobody has judged. */
  #light(count) {
    const run = this.#run;
    run.least = count === 0 ? Infinity : unjudgedOf(run)[count - 1].similarity;
    this.#draw(run);
    this.#show(run);
  }

  /** A person says that a candidate is not meant, or that it is. The search learns from it. */
  #judge(candidate) {
    const run = this.#run;
    const isMeant = !isLit(run, candidate);
    run.offer.goOnAfter(candidate, () => {
      run.verdicts.set(candidate, Number(isMeant));
      this.#draw(run);
    });
    this.#show(run);
    announce(`${isMeant ? "Added" : "Taken away"}. ${litOf(run).length} lit.`);
    clearTimeout(run.timer);
    for (const search of run.searches) search.isDue ||= search.label === candidate.label;
    run.timer = setTimeout(async () => {
      await this.#ask(run);
      if (run === this.#run && !run.isAsking) announce(textOf(run));
    }, TEACHING_REST);
  }

  #keepLit() {
    const run = this.#run;
    if (run.isAsking && run.candidates.length === 0) announce("Still looking.");
    const found = litOf(run).map((candidate) => foundOf(candidate, candidate.label));
    if (found.length === 0) return run.isAsking;
    this.#decided.add(run.image);
    this.#end();
    this.#parts.keepAll(found);
    return true;
  }

  /** Finds out which candidates are to be shown, and draws them. */
  #sift(run) {
    run.objects = run.entry.timeline.now.objects;
    run.candidates = offered(run.searches.flatMap(({ found }) => found), run.verdicts, run.objects);
    this.#draw(run);
  }

  #draw(run) {
    const { classes } = this.#parts;
    const colourOf = (one) => (isLit(run, one) ? classNamed(classes.list, one.label).colour : null);
    run.offer.show([...run.candidates].sort((one, other) => one.area - other.area), colourOf);
  }

  #show(run) {
    showAlike(run);
    run.offer.redraw();
  }

  /** @returns the run that has ended, or null */
  #end() {
    const run = this.#run;
    if (!run) return null;
    this.#run = null;
    clearTimeout(run.timer);
    run.round?.abort();
    run.offer.close();
    if (hasFocus()) this.#parts.takeKeys();
    return run;
  }
}

/** True if the service does not have the picture of an example. The error names the example then. */
function isExampleGone(error, isCarried) {
  return isCarried && (isForgotten(error) || error.code === "embedding-pending") && error.detail.startsWith("examples/");
}

/** A candidate as it is kept, under a class. */
function foundOf({ score, area, bbox, rle, mask_token, point }, label) {
  return { label, point, mask: { score, area, bbox, rle, mask_token } };
}
