/** Opens, shows, encodes and removes pictures. */

import * as api from "./api.js";
import { ensureEncoded } from "./encoding.js";
import { EncodingQueue } from "./encoding-queue.js";
import * as notices from "./notices.js";
import { openSharp } from "./picture.js";
import { Problem } from "./problems.js";
import { drawThumbnail, reveal } from "./strip.js";

/** The most file names in one message. */
const MOST_NAMES = 5;

export class Pictures {
  #gallery;
  #stage;
  #desk;
  #onReady;
  #onShown;
  #model;
  #queue = new EncodingQueue((entry) => this.encode(entry));
  #opening = Promise.resolve();
  #shows = 0;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./stage.js").Stage} stage
   * @param {import("./desk.js").Desk} desk
   * @param {{onShown: () => void, onReady: (entry: import("./gallery.js").Entry) => void,
   *   model: () => string|null}} events `model` returns the name of the model that encodes; null for the default
   */
  constructor(gallery, stage, desk, { onShown, onReady, model }) {
    this.#gallery = gallery;
    this.#model = model;
    this.#stage = stage;
    this.#desk = desk;
    this.#onShown = onShown;
    this.#onReady = onReady;
  }

  /** Adds files one after the other and shows the first of them. */
  open(files) {
    this.#opening = this.#opening.then(() => this.#openAll(files));
    return this.#opening;
  }

  async #openAll(files) {
    notices.hideAlert();
    const refused = [];
    let isFirst = true;
    for (const file of files) {
      try {
        const { entry, isNew } = await this.#gallery.add(file);
        if (isNew) this.#queue.add(entry);
        if (isFirst) await this.show(entry);
        else this.#desk.renderStrip();
        isFirst = false;
        if (this.#gallery.entries.includes(entry)) drawThumbnail(entry, await this.#gallery.bitmapOf(entry));
      } catch (error) {
        refused.push({ name: file.name, error });
      }
    }
    if (refused.length > 0) notices.showAlert(leftOut(refused));
  }

  async show(entry) {
    if (entry === this.#gallery.current) return;
    const turn = ++this.#shows;
    let bitmap;
    try {
      bitmap = await this.#gallery.bitmapOf(entry);
    } catch (error) {
      return notices.showAlert(error);
    }
    // The person may have chosen another picture while this one was read.
    if (turn !== this.#shows || !this.#gallery.entries.includes(entry)) return;
    if (this.#gallery.current) this.#gallery.current.view = this.#stage.view;
    this.#gallery.current = entry;
    this.#desk.showRoom();
    this.#stage.show({ ...entry.size, bitmap }, entry.name, entry.view, () => openSharp(entry.file));
    this.#desk.render();
    reveal(entry);
    if (entry.error) this.#showError(entry);
    else notices.hideAlert();
    this.#onShown();
    this.#queue.hurry(entry);
    if (entry.image) this.#onReady(entry);
  }

  async remove(entry) {
    this.#queue.drop(entry);
    const isCurrent = entry === this.#gallery.current;
    if (isCurrent) this.#stage.forget();
    const next = this.#gallery.remove(entry);
    if (!isCurrent) return this.#desk.renderStrip();
    this.#gallery.current = null;
    this.#shows++;
    notices.hideAlert();
    if (next) await this.show(next);
    else this.#desk.render();
  }

  /** Has every picture encoded by the model that was chosen now, the shown one first. */
  encodeAll() {
    const { entries, current } = this.#gallery;
    const others = entries.filter((entry) => entry !== current);
    for (const entry of current ? [current, ...others] : others) {
      this.#queue.drop(entry);
      this.#gallery.forgetAnswers(entry);
      this.#queue.add(entry);
    }
    if (current) this.#queue.hurry(current);
    this.#desk.render();
  }

  /** Has the service encode a picture, and shows its progress. */
  async encode(entry) {
    const { signal } = entry.controller;
    const model = this.#model();
    const isStale = () => signal.aborted || model !== this.#model();
    const report = (progress) => {
      if (isStale()) return;
      entry.progress = progress;
      this.#desk.renderStrip();
    };
    entry.image = entry.error = null;
    const start = performance.now();
    try {
      const { image, uploaded } = await ensureEncoded(api, entry.file, { signal, report, model });
      if (isStale()) return;
      if (image.width !== entry.size.width || image.height !== entry.size.height) throw new Problem("other-size");
      entry.image = image;
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      entry.origin = uploaded ? `Encoded in ${seconds} s` : "Already known: nothing was uploaded";
    } catch (error) {
      if (isStale()) return;
      entry.error = error;
    }
    entry.progress = null;
    if (entry !== this.#gallery.current) return this.#desk.renderStrip();
    this.#desk.render();
    if (entry.error) this.#showError(entry);
    else this.#onReady(entry);
  }

  #showError(entry) {
    notices.showAlert(entry.error, () => this.encode(entry));
  }
}

/** One problem for all files that could not be opened. */
function leftOut(refused) {
  const { error } = refused.at(-1);
  if (!(error instanceof Problem)) return error;
  const names = refused.slice(0, MOST_NAMES).map(({ name }) => name);
  const more = refused.length - names.length;
  return new Problem(error.code, { detail: `Left out: ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}.` });
}
