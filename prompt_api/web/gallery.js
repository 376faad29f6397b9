/** The open pictures and which of them is shown. */

import { openPicture, openSharp } from "./picture.js";
import { isSame } from "./picture-source.js";
import { isBlank, isByHand, onlyExcludes } from "./prompts.js";
import { START, amend } from "./timeline.js";

/** How many bitmaps are kept, of the pictures shown last. Each takes about 10 MB. */
const MOST_BITMAPS = 3;

/**
 * @typedef {object} Entry an open picture
 * @property {number} id larger than that of the picture before it
 * @property {import("./picture-source.js").Source} source
 * @property {string} name
 * @property {{width: number, height: number}|null} size pixels of the upright original; null until it was shown, for a
 *   picture that the service has to show
 * @property {Blob|null} thumbnail a small JPEG of the whole picture
 * @property {string|null} hash the SHA-256 of the file, once the service knows it
 * @property {AbortController} controller aborts when the picture is removed
 * @property {object|null} image the image resource once it is encoded
 * @property {import("./encoding.js").Progress|null} progress null while nothing is done for it
 * @property {Error|null} error why it could not be encoded
 * @property {string} origin where its embedding came from, in words
 * @property {number} recoveries times it was encoded again since the last answer
 * @property {import("./timeline.js").Timeline} timeline
 * @property {Set<number>} hidden ids of kept objects that are not drawn; replaced, never changed
 * @property {number|null} selected id of the kept object that was clicked
 * @property {import("./viewport.js").View|null} view the view when the picture was last left
 * @property {boolean} done true if a person marked it as done
 * @property {{keys: string[], answer: object}|null} preview the last hover's requests and its answer
 * @property {object[]} savedObjects the objects of the last export
 */

/** True if a person has nothing more to do on a picture: it has objects, or is marked as done. @param {Entry} entry */
export function isLabelled({ timeline: { now }, done }) {
  return done || now.objects.length > 0;
}

export class Gallery {
  /** @type {Entry[]} */
  entries = [];
  /** @type {Entry|null} */
  current = null;
  #nextId = 1;
  #bitmaps = new Map();

  /** The entry that this file has already, or null. @param {import("./picture-source.js").Source} source */
  find(source) {
    return this.entries.find((entry) => isSame(entry.source, source)) ?? null;
  }

  /**
   * Adds a picture.
   * @param {import("./picture-source.js").Source} source
   * @param {{size: Entry["size"], thumbnail: Blob|null}} look
   * @returns {Entry}
   */
  add(source, look) {
    const work = { hash: null, timeline: START, hidden: new Set(), view: null, done: false, savedObjects: [] };
    return this.restore(this.#nextId, source, { ...look, ...work });
  }

  /** Adds a picture of an earlier visit, under the id that it had. */
  restore(id, source, fields) {
    const entry = {
      id,
      source,
      name: source.name,
      controller: new AbortController(),
      image: null,
      progress: null,
      error: null,
      origin: "",
      recoveries: 0,
      selected: null,
      preview: null,
      ...fields,
    };
    this.#nextId = Math.max(this.#nextId, id + 1);
    this.entries.push(entry);
    return entry;
  }

  /**
   * Returns the picture's bitmap, and opens it again if it was closed. Only the gallery closes it.
   * @throws {Problem} `unreadable`, `file-missing`; that of the service, if it has to show the picture
   */
  async bitmapOf(entry) {
    let bitmap = this.#bitmaps.get(entry);
    if (!bitmap) {
      const opened = await openPicture(await entry.source.open());
      bitmap = opened.bitmap;
      entry.size ??= { width: opened.width, height: opened.height };
    }
    this.keepBitmap(entry, bitmap);
    return bitmap;
  }

  /** Opens the picture with all its pixels. The caller closes the bitmap. */
  async sharpBitmapOf(entry) {
    return openSharp(await entry.source.open());
  }

  /** Keeps the bitmap of a picture that was just opened, and closes the one that was shown longest ago. */
  keepBitmap(entry, bitmap) {
    if (!this.entries.includes(entry)) return bitmap.close();
    this.#bitmaps.delete(entry);
    this.#bitmaps.set(entry, bitmap);
    for (const [old, unused] of this.#bitmaps) {
      if (this.#bitmaps.size <= MOST_BITMAPS) return;
      if (old === this.current) continue;
      unused.close();
      this.#bitmaps.delete(old);
    }
  }

  /** Closes the picture's bitmap, so that it is opened anew. */
  dropBitmap(entry) {
    this.#bitmaps.get(entry)?.close();
    this.#bitmaps.delete(entry);
  }

  /** True if the last export contains the picture's kept objects, or there are none. */
  isSaved({ timeline: { now }, savedObjects }) {
    return now.objects.length === 0 || now.objects === savedObjects;
  }

  /** Forgets what one model said of a picture, so that another one is asked. Kept objects stay. */
  forgetAnswers(entry) {
    const { step } = entry.timeline.now;
    entry.image = entry.error = entry.preview = entry.progress = null;
    if (!isBlank(step) && !onlyExcludes(step) && !isByHand(step)) {
      entry.timeline = amend(entry.timeline, step.id, { masks: null, base: null, chosen: 0 });
    }
  }

  /** Closes a picture. @returns {Entry|null} the picture to show instead */
  remove(entry) {
    const index = this.entries.indexOf(entry);
    this.entries.splice(index, 1);
    this.dropBitmap(entry);
    entry.controller.abort();
    return this.entries[Math.min(index, this.entries.length - 1)] ?? null;
  }

  /** The picture `by` places after the current one. The first follows the last. */
  neighbour(by) {
    const count = this.entries.length;
    return this.entries[(this.entries.indexOf(this.current) + by + count) % count];
  }

  /** The next picture after the current one that is not labelled, or null. The first follows the last. */
  nextUnlabelled() {
    const at = this.entries.indexOf(this.current) + 1;
    return [...this.entries.slice(at), ...this.entries.slice(0, at)].find((entry) => !isLabelled(entry)) ?? null;
  }

  /** The current picture and the next ones, `more` of them: the pictures to prepare, the current one first. */
  ahead(more) {
    const at = this.entries.indexOf(this.current);
    if (at < 0) return [];
    return [...this.entries.slice(at), ...this.entries.slice(0, at)].slice(0, more + 1);
  }
}
