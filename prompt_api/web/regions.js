/**
 * Has a part of a large picture encoded, and says which part can answer prompts. It is the visible part; or, while the
 * whole picture is seen, the part around the present mask.
 */

import { Problem, isTemporary } from "./problems.js";
import { ENCODER_SIDE, chooseRegion, holds, isSame } from "./region.js";

/** Milliseconds for which the view rests before its part is asked for. */
const REST = 400;

const POLL_SECONDS = 15;

/** How often a region is asked for. With the pauses that is about five minutes. */
const MOST_ASKS = 20;

/** Seconds until a busy or unreachable service is asked again, if it does not name another time. */
const BUSY_PAUSE = 5;

/** How many encoded regions of a picture are remembered. A forgotten one is asked for again, which costs one request. */
const MOST_READY = 16;

/** A picture whose regions fail so often at prompts has no more regions. */
const MOST_LOSSES = 3;

/**
 * @typedef {import("./region.js").Region} Region
 * @typedef {import("./gallery.js").Entry} Entry
 * @typedef {object} Parts
 * @property {typeof import("./api.js")} api
 * @property {(image: object, options: {region: Region, signal: AbortSignal}) => Promise<void>} prepare readies what
 *   answers prompts on an encoded region
 * @property {(entry: Entry) => Promise<void>} upload sends the file of a picture again
 * @property {(entry: Entry) => void} onReady called when the wanted region of the shown picture can answer
 * @property {() => void} onChange called when `state` changes
 */

export class Regions {
  #parts;
  #rest;
  /** What is known of each image resource: {ready, losses, upload}. It goes when the picture is encoded again. */
  #images = new WeakMap();
  /**
   * The region that is wanted now: {entry, image, region, box, state, controller}, or null. `box` is that of an object; null
   * for the visible part. `region` is null until the service has chosen it for an object.
   */
  #wanted = null;
  #timer = null;

  /** @param {Parts} parts @param {number} rest milliseconds */
  constructor(parts, rest = REST) {
    this.#parts = parts;
    this.#rest = rest;
  }

  /**
   * "none" if the whole picture answers; "pending" until the visible part can answer, and then "ready"; "finding" until the
   * part around an object can answer, and then "found"; "refused" if it cannot be had.
   */
  get state() {
    return this.#wanted?.state ?? "none";
  }

  /**
   * Call this after each change of the view, of the shown picture or of its image resource.
   * @param {Entry|null} entry the shown picture
   * @param {import("./region.js").Visible} visible
   */
  look(entry, visible) {
    const image = entry?.image ?? null;
    const region = image && this.#choose(entry, visible);
    const wanted = this.#wanted;
    if (!region && !wanted) return;
    if (wanted && image === wanted.image) {
      if (!region && wanted.box) return;
      if (isSame(region, wanted.region)) return this.#stay(wanted);
    }
    this.#drop();
    if (region) this.#want(entry, { region });
    this.#parts.onChange();
  }

  /**
   * Has the part around an object encoded, unless the visible part is wanted. Call this while the whole picture's mask of
   * the object is shown.
   * @param {Entry} entry the shown picture
   * @param {number[]} bbox x, y, width and height of the mask
   */
  lookAround(entry, [x, y, width, height]) {
    const wanted = this.#wanted;
    const { image, size } = entry;
    if (!image || width === 0 || (wanted && !wanted.box) || Math.max(size.width, size.height) <= ENCODER_SIDE) return;
    if (this.#knownOf(image).losses >= MOST_LOSSES) return;
    const box = [x, y, x + width, y + height];
    if (wanted?.image === image && isSame(box, wanted.box)) return;
    this.#drop();
    this.#want(entry, { box });
    this.#parts.onChange();
  }

  /** Forgets which regions can answer, because another decoder answers from now on. Call `look` afterwards. */
  reset() {
    this.#images = new WeakMap();
    this.#drop();
  }

  /**
   * The region that is to answer a step now; null for the whole picture.
   * @param {Entry} entry
   * @param {import("./prompts.js").Step} step
   */
  regionFor(entry, step) {
    return this.state === "ready" ? this.finerFor(entry, step) : null;
  }

  /**
   * The region that can answer a step now, also one around another object. This costs a second prompt, so it is for a
   * step that the whole picture has answered.
   */
  finerFor(entry, step) {
    const wanted = this.#wanted;
    const isReady = wanted?.state === "ready" || wanted?.state === "found";
    if (!isReady || wanted.image !== entry.image || step.drawn) return null;
    return holds(wanted.region, step) ? wanted.region : null;
  }

  /** Call this if a prompt on a region failed. It is asked for again, if it is wanted. */
  lost({ image }, region) {
    if (!image) return;
    const known = this.#knownOf(image);
    known.ready = known.ready.filter((other) => !isSame(other, region));
    known.losses++;
    const wanted = this.#wanted;
    if (wanted?.image !== image || !isSame(wanted.region, region)) return;
    this.#drop();
    if (!wanted.box) this.#want(wanted.entry, { region });
    this.#parts.onChange();
  }

  #choose(entry, visible) {
    const known = this.#knownOf(entry.image);
    if (known.losses >= MOST_LOSSES) return null;
    const wanted = this.#wanted?.image === entry.image ? [this.#wanted.region] : [];
    return chooseRegion(entry.size, visible, [...wanted, ...known.ready].filter(Boolean));
  }

  #want(entry, { region = null, box = null }) {
    const { image } = entry;
    const state = box ? "finding" : "pending";
    const wanted = { entry, image, region, box, state, controller: new AbortController() };
    this.#wanted = wanted;
    if (this.#knownOf(image).ready.some((other) => isSame(other, region))) this.#becomeReady(wanted);
    else this.#askLater(wanted);
  }

  /** Keeps what is wanted for the visible part. */
  #stay(wanted) {
    if (this.#timer !== null) this.#askLater(wanted);
    if (!wanted.box) return;
    wanted.box = null;
    wanted.state = { finding: "pending", found: "ready" }[wanted.state] ?? wanted.state;
    this.#parts.onChange();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#wanted?.controller.abort();
    this.#wanted = null;
  }

  #askLater(wanted) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#obtain(wanted);
    }, this.#rest);
  }

  /** Never throws. A region that cannot be had is no news: the whole picture answers. */
  async #obtain(wanted) {
    const { image, controller: { signal } } = wanted;
    try {
      await this.#encoded(wanted);
      await this.#parts.prepare(image, { region: wanted.region, signal });
      if (!signal.aborted) this.#becomeReady(wanted);
    } catch {
      if (signal.aborted) return;
      wanted.state = "refused";
      this.#parts.onChange();
    }
  }

  #becomeReady(wanted) {
    const known = this.#knownOf(wanted.image);
    const others = known.ready.filter((other) => !isSame(other, wanted.region));
    known.ready = [wanted.region, ...others].slice(0, MOST_READY);
    wanted.state = wanted.box ? "found" : "ready";
    this.#parts.onChange();
    this.#parts.onReady(wanted.entry);
  }

  /** Waits until the service has encoded the region. Fills in the region that it has chosen. */
  async #encoded(wanted) {
    const { entry, image, box, controller: { signal } } = wanted;
    const { api, upload } = this.#parts;
    const known = this.#knownOf(image);
    let isUploaded = false;
    for (let ask = 1; ask <= MOST_ASKS; ask++) {
      try {
        const options = { signal, wait: POLL_SECONDS, model: image.model };
        const wish = wanted.region ? { regions: [wanted.region] } : { around: [box] };
        const { region, status, error } = await api.encodeRegion(image.image_id, wish, options);
        if (region === null) throw new Error("the whole picture suits the object better");
        wanted.region = region;
        if (status === "ready") return;
        if (status === "failed") throw new Problem(error.code, error);
        // A service without a free thread answers at once and ignores `wait`.
        await api.pause(1, signal);
      } catch (error) {
        if (error.code === "image-expired" && !isUploaded) {
          // The service still has the embedding of the whole picture, but not the file that it would cut a region from.
          isUploaded = true;
          known.upload ??= upload(entry);
          await known.upload;
        } else if (isTemporary(error) || error.code === "offline") {
          await api.pause(Math.min(Math.max(error.retryAfter ?? 0, BUSY_PAUSE), api.LONGEST_PAUSE), signal);
        } else {
          throw error;
        }
      }
    }
    throw new Problem("embedding-pending");
  }

  #knownOf(image) {
    let known = this.#images.get(image);
    if (!known) this.#images.set(image, (known = { ready: [], losses: 0, upload: null }));
    return known;
  }
}
