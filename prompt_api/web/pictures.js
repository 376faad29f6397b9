/** Opens, shows, encodes and removes pictures. */

import * as api from "./api.js";
import { ensureEncoded } from "./encoding.js";
import { EncodingQueue } from "./encoding-queue.js";
import * as notices from "./notices.js";
import { openSharp } from "./picture.js";
import { drawThumbnail, reveal } from "./strip.js";

export class Pictures {
  #gallery;
  #stage;
  #desk;
  #onReady;
  #onShown;
  #queue = new EncodingQueue((entry) => this.encode(entry));
  #opening = Promise.resolve();
  #shows = 0;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./stage.js").Stage} stage
   * @param {import("./desk.js").Desk} desk
   * @param {{onShown: () => void, onReady: (entry: import("./gallery.js").Entry) => void}} events
   */
  constructor(gallery, stage, desk, { onShown, onReady }) {
    this.#gallery = gallery;
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
    let isFirst = true;
    for (const file of files) {
      try {
        const before = this.#gallery.entries.length;
        const entry = await this.#gallery.add(file);
        if (this.#gallery.entries.length > before) this.#queue.add(entry);
        if (isFirst) await this.show(entry);
        else this.#desk.renderStrip();
        isFirst = false;
        drawThumbnail(entry, await this.#gallery.bitmapOf(entry));
      } catch (error) {
        notices.showAlert(error);
      }
    }
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
    // A small picture chosen after a large one may be read first.
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
    const next = this.#gallery.remove(entry);
    if (entry !== this.#gallery.current) return this.#desk.renderStrip();
    this.#gallery.current = null;
    this.#shows++;
    notices.hideAlert();
    if (next) await this.show(next);
    else this.#desk.render();
  }

  /** Has a picture encoded, showing how far it is. */
  async encode(entry) {
    const { signal } = entry.controller;
    const report = (progress) => {
      entry.progress = progress;
      this.#desk.renderStrip();
    };
    entry.image = entry.error = null;
    const start = performance.now();
    try {
      const { image, uploaded } = await ensureEncoded(api, entry.file, { signal, report });
      entry.image = image;
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      entry.origin = uploaded ? `Encoded in ${seconds} s` : "Known here: nothing was uploaded";
    } catch (error) {
      if (signal.aborted) return;
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
