/** Has the visible part of a large picture encoded, and says which part can answer prompts. */

import { Problem, isTemporary } from "./problems.js";
import { chooseRegion, holds, isSame } from "./region.js";

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
  /** The region for the present view: {entry, image, region, state, controller}, or null. */
  #wanted = null;
  #timer = null;

  /** @param {Parts} parts @param {number} rest milliseconds */
  constructor(parts, rest = REST) {
    this.#parts = parts;
    this.#rest = rest;
  }

  /** "none" if the whole picture answers, "pending" until the part can answer, "ready", or "refused". */
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
    if (region && image === wanted?.image && isSame(region, wanted.region)) {
      if (this.#timer !== null) this.#askLater(wanted);
      return;
    }
    if (!region && !wanted) return;
    this.#drop();
    if (region) this.#want(entry, region);
    this.#parts.onChange();
  }

  /** Forgets which regions can answer, because another decoder answers from now on. Call `look` afterwards. */
  reset() {
    this.#images = new WeakMap();
    this.#drop();
  }

  /**
   * The region that can answer a step now; null for the whole picture.
   * @param {Entry} entry
   * @param {import("./prompts.js").Step} step
   */
  regionFor(entry, step) {
    const wanted = this.#wanted;
    if (wanted?.state !== "ready" || wanted.image !== entry.image || step.drawn) return null;
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
    this.#want(wanted.entry, region);
    this.#parts.onChange();
  }

  #choose(entry, visible) {
    const known = this.#knownOf(entry.image);
    if (known.losses >= MOST_LOSSES) return null;
    const wanted = this.#wanted?.image === entry.image ? [this.#wanted.region] : [];
    return chooseRegion(entry.size, visible, [...wanted, ...known.ready]);
  }

  #want(entry, region) {
    const { image } = entry;
    const wanted = { entry, image, region, state: "pending", controller: new AbortController() };
    this.#wanted = wanted;
    if (this.#knownOf(image).ready.some((other) => isSame(other, region))) this.#becomeReady(wanted);
    else this.#askLater(wanted);
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
    const { image, region, controller: { signal } } = wanted;
    try {
      await this.#encoded(wanted);
      await this.#parts.prepare(image, { region, signal });
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
    wanted.state = "ready";
    this.#parts.onChange();
    this.#parts.onReady(wanted.entry);
  }

  /** Waits until the service has encoded the region. */
  async #encoded({ entry, image, region, controller: { signal } }) {
    const { api, upload } = this.#parts;
    const known = this.#knownOf(image);
    let isUploaded = false;
    for (let ask = 1; ask <= MOST_ASKS; ask++) {
      try {
        const options = { signal, wait: POLL_SECONDS, model: image.model };
        const { status, error } = await api.encodeRegion(image.image_id, region, options);
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
