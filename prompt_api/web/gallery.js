/** The open pictures and which of them is shown. */

import { openPicture } from "./picture.js";
import { Problem } from "./problems.js";
import { isBlank, isByHand, onlyExcludes } from "./prompts.js";
import { START, amend } from "./timeline.js";

const MOST_PICTURES = 100;
/** How many bitmaps are kept, of the pictures shown last. Each takes about 10 MB. */
const MOST_BITMAPS = 6;

/**
 * @typedef {object} Entry an open picture
 * @property {number} id
 * @property {File} file
 * @property {string} name
 * @property {{width: number, height: number}} size pixels of the upright original
 * @property {AbortController} controller aborts when the picture is removed
 * @property {object|null} image the image resource once it is encoded
 * @property {import("./encoding.js").Progress|null} progress
 * @property {Error|null} error why it could not be encoded
 * @property {string} origin where its embedding came from, in words
 * @property {number} recoveries times it was encoded again since the last answer
 * @property {import("./timeline.js").Timeline} timeline
 * @property {Set<number>} hidden ids of kept objects that are not drawn
 * @property {number|null} selected id of the kept object that was clicked
 * @property {import("./viewport.js").View|null} view the view when the picture was last left
 * @property {{key: string, answer: object}|null} preview the last hover's request and its answer
 * @property {object[]} savedObjects the objects of the last export
 */

export class Gallery {
  /** @type {Entry[]} */
  entries = [];
  /** @type {Entry|null} */
  current = null;
  #nextId = 1;
  #bitmaps = new Map();

  /**
   * Opens a file, or returns the entry that it already has.
   * @returns {Promise<{entry: Entry, isNew: boolean}>}
   * @throws {Problem} `unreadable`, `too-many-pictures`
   */
  async add(file) {
    const same = (entry) => ["name", "size", "lastModified"].every((field) => entry.file[field] === file[field]);
    const known = this.entries.find(same);
    if (known) return { entry: known, isNew: false };
    if (this.entries.length === MOST_PICTURES) throw new Problem("too-many-pictures");
    const { width, height, bitmap } = await openPicture(file);
    const entry = {
      id: this.#nextId++,
      file,
      name: file.name,
      size: { width, height },
      controller: new AbortController(),
      image: null,
      progress: { step: "waiting" },
      error: null,
      origin: "",
      recoveries: 0,
      timeline: START,
      hidden: new Set(),
      selected: null,
      view: null,
      preview: null,
      savedObjects: [],
    };
    this.#keep(entry, bitmap);
    this.entries.push(entry);
    return { entry, isNew: true };
  }

  /** Returns the picture's bitmap, and opens it again if it was closed. Only the gallery closes it. */
  async bitmapOf(entry) {
    const bitmap = this.#bitmaps.get(entry) ?? (await openPicture(entry.file)).bitmap;
    this.#keep(entry, bitmap);
    return bitmap;
  }

  /** True if the last export contains the picture's kept objects, or there are none. */
  isSaved({ timeline: { now }, savedObjects }) {
    return now.objects.length === 0 || now.objects === savedObjects;
  }

  /** Forgets what one model said of a picture, so that another one is asked. Kept objects stay. */
  forgetAnswers(entry) {
    const { step } = entry.timeline.now;
    entry.image = entry.error = entry.preview = null;
    entry.progress = { step: "waiting" };
    if (!isBlank(step) && !onlyExcludes(step) && !isByHand(step)) {
      entry.timeline = amend(entry.timeline, step.id, { masks: null, base: null, chosen: 0 });
    }
  }

  /** Closes a picture. @returns {Entry|null} the picture to show instead */
  remove(entry) {
    const index = this.entries.indexOf(entry);
    this.entries.splice(index, 1);
    this.#bitmaps.get(entry)?.close();
    this.#bitmaps.delete(entry);
    entry.controller.abort();
    return this.entries[Math.min(index, this.entries.length - 1)] ?? null;
  }

  /** The picture `by` places after the current one. The first follows the last. */
  neighbour(by) {
    const count = this.entries.length;
    return this.entries[(this.entries.indexOf(this.current) + by + count) % count];
  }

  #keep(entry, bitmap) {
    this.#bitmaps.delete(entry);
    this.#bitmaps.set(entry, bitmap);
    for (const [old, unused] of this.#bitmaps) {
      if (this.#bitmaps.size <= MOST_BITMAPS) return;
      if (old === this.current) continue;
      unused.close();
      this.#bitmaps.delete(old);
    }
  }
}
