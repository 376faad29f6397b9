/** Opens, shows, encodes and removes pictures. Only what a person sees or is about to see is in memory. */

import * as api from "./api.js";
import { showRefused } from "./dialogs.js";
import { ensureEncoded } from "./encoding.js";
import { EncodingQueue } from "./encoding-queue.js";
import { folderOf } from "./files.js";
import * as notices from "./notices.js";
import { openPicture } from "./picture.js";
import { fromFile } from "./picture-source.js";
import { Problem, sentenceFor } from "./problems.js";
import { reveal } from "./strip.js";
import { Looking, thumbnailOf } from "./thumbnails.js";

/** The most file names in one message. */
const MOST_NAMES = 5;
/** How many pictures after the shown one are uploaded and encoded before a person comes to them. */
const AHEAD = 2;
/** From this many files on, the page tells how many are open already. */
const MANY = 10;

export class Pictures {
  #gallery;
  #stage;
  #desk;
  #onReady;
  #onShown;
  #onFile;
  #model;
  #queue = new EncodingQueue((entry) => this.encode(entry));
  #isReady;
  #opening = Promise.resolve();
  #shows = 0;
  /** Changes when all pictures are removed, which also ends the opening of others. */
  #era = 0;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./stage.js").Stage} stage
   * @param {import("./desk.js").Desk} desk
   * @param {{onShown: () => void, onReady: (entry: import("./gallery.js").Entry) => void, model: () => string|null,
   *   onFile: (entry: import("./gallery.js").Entry, file: File) => void, isReady: () => Promise<unknown>}} events
   *   `model` returns the name of the model that encodes, null for the default; `onFile` is called with each file that
   *   was opened; nothing is opened before the promise of `isReady` resolves
   */
  constructor(gallery, stage, desk, { onShown, onReady, onFile, model, isReady }) {
    this.#gallery = gallery;
    this.#model = model;
    this.#stage = stage;
    this.#desk = desk;
    this.#onShown = onShown;
    this.#onReady = onReady;
    this.#onFile = onFile;
    this.#isReady = isReady;
  }

  /**
   * Adds files one after the other and shows the first of them.
   * @param {File[]} files
   * @returns {Promise<import("./gallery.js").Entry|null>} the entry of the first file that could be opened
   */
  open(files) {
    this.#opening = this.#opening.then(() => this.#openAll(files));
    return this.#opening;
  }

  async #openAll(files) {
    await this.#isReady();
    notices.hideAlert();
    const era = this.#era;
    const refused = [];
    const looking = new Looking();
    let first = null;
    for (const [index, file] of files.entries()) {
      if (files.length >= MANY) notices.setText("opening", `Opening ${index + 1} of ${files.length}`);
      try {
        const entry = await this.#openOne(file, first === null ? null : looking, era);
        if (era !== this.#era) break;
        if (first === null) await this.show((first = entry));
        else this.#desk.renderStrip();
        this.#prefetch();
      } catch (error) {
        refused.push({ name: file.name, error });
      }
    }
    looking.close();
    notices.setText("opening", "");
    this.#desk.render();
    if (refused.length > 0) this.#tell(refused);
    return first;
  }

  /** Opens a file. `looking` looks at it for the strip only; null opens it to be shown at once. */
  async #openOne(file, looking, era) {
    const source = fromFile(file, folderOf(file));
    const known = this.#gallery.find(source);
    if (known) return this.#reopened(known, source, file);
    let opened = null;
    let look;
    if (looking === null) {
      opened = await openPicture(file);
      look = { size: { width: opened.width, height: opened.height }, thumbnail: await thumbnailOf(opened.bitmap) };
    } else {
      look = await looking.at(file);
    }
    if (era !== this.#era) {
      opened?.bitmap.close();
      return null;
    }
    const entry = this.#gallery.add(source, look);
    if (opened) this.#gallery.keepBitmap(entry, opened.bitmap);
    this.#onFile(entry, file);
    return entry;
  }

  /** A person opened the file of a picture again, perhaps because the browser did not keep it. */
  async #reopened(entry, source, file) {
    if (!entry.source.isMissing) return entry;
    entry.source = source;
    this.#onFile(entry, file);
    if (entry !== this.#gallery.current) return entry;
    this.#stage.forget();
    this.#gallery.dropBitmap(entry);
    this.#gallery.current = null;
    await this.show(entry);
    return entry;
  }

  #tell(refused) {
    const { error } = refused.at(-1);
    if (!(error instanceof Problem)) return notices.showAlert(error);
    const names = refused.slice(0, MOST_NAMES).map(({ name }) => name);
    const more = refused.length - names.length;
    const detail = `Left out: ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}.`;
    const list = refused.map((one) => ({ name: one.name, reason: sentenceFor(one.error) }));
    notices.showAlert(new Problem(error.code, { detail }));
    if (more > 0) notices.offer("Show all", () => showRefused(list));
  }

  async show(entry) {
    if (entry === this.#gallery.current) return;
    const turn = ++this.#shows;
    let bitmap;
    let problem = null;
    try {
      bitmap = await this.#gallery.bitmapOf(entry);
      if (!entry.thumbnail) entry.thumbnail = await thumbnailOf(bitmap);
    } catch (error) {
      bitmap = error.code === "file-missing" && entry.size && (await this.#placeholder(entry));
      if (!bitmap) return this.#fail(entry, error);
      problem = error;
    }
    // The person may have chosen another picture while this one was read.
    if (turn !== this.#shows || !this.#gallery.entries.includes(entry)) return;
    if (this.#gallery.current) this.#leave(this.#gallery.current);
    this.#gallery.current = entry;
    this.#desk.showRoom();
    this.#stage.show({ ...entry.size, bitmap }, entry.name, entry.view, () => this.#gallery.sharpBitmapOf(entry));
    this.#prefetch();
    this.#desk.render();
    reveal(entry);
    if (problem) notices.showAlert(problem);
    else if (entry.error) this.#showError(entry);
    else notices.hideAlert();
    this.#onShown();
    if (entry.image) this.#onReady(entry);
  }

  /** Shows the next picture without objects that is not done. */
  async showUnlabelled() {
    const next = this.#gallery.nextUnlabelled();
    if (next) await this.show(next);
    else notices.announce("All pictures are labelled.");
  }

  /** Marks the shown picture as done and goes on to the next one that is not labelled, or takes the mark away. */
  async toggleDone() {
    const { current } = this.#gallery;
    current.done = !current.done;
    this.#desk.render();
    notices.announce(current.done ? "Done." : "Not done.");
    if (current.done) await this.showUnlabelled();
  }

  /** Keeps the view of the shown picture, before the page may be closed. */
  rememberView() {
    const { current } = this.#gallery;
    if (!current) return;
    current.view = this.#stage.view;
    this.#desk.renderStrip();
  }

  async remove(entry) {
    this.#queue.drop(entry);
    const isCurrent = entry === this.#gallery.current;
    if (isCurrent) this.#stage.forget();
    const next = this.#gallery.remove(entry);
    if (!isCurrent) {
      this.#prefetch();
      return this.#desk.renderStrip();
    }
    this.#gallery.current = null;
    this.#shows++;
    notices.hideAlert();
    if (next) await this.show(next);
    else this.#desk.render();
  }

  /** Removes every picture, also those that are being opened. */
  removeAll() {
    this.#era++;
    this.#shows++;
    this.#queue.keepOnly([]);
    if (this.#gallery.current) this.#stage.forget();
    this.#gallery.current = null;
    for (const entry of [...this.#gallery.entries]) this.#gallery.remove(entry);
    notices.hideAlert();
    this.#desk.render();
  }

  /** Has the shown picture and the next ones encoded by the model that was chosen now. The others follow when shown. */
  encodeAll() {
    this.#queue.keepOnly([]);
    for (const entry of this.#gallery.entries) this.#gallery.forgetAnswers(entry);
    this.#prefetch();
    this.#desk.render();
  }

  /** Tries pictures again that the service refused because of the access token. */
  encodeRefused() {
    for (const entry of this.#gallery.entries) {
      if (entry.error?.code === "forbidden" || entry.error?.code === "unauthorized") entry.error = null;
    }
    notices.hideAlert();
    this.#prefetch();
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
      const file = () => entry.source.open();
      const { image, uploaded } = await ensureEncoded(api, file, { signal, report, model, hash: entry.hash });
      if (isStale()) return;
      entry.size ??= { width: image.width, height: image.height };
      if (image.width !== entry.size.width || image.height !== entry.size.height) throw new Problem("other-size");
      entry.image = image;
      entry.hash = image.image_id;
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

  /** Has the shown picture and the next ones encoded, and no others. */
  #prefetch() {
    const wanted = this.#gallery.ahead(AHEAD);
    for (const entry of this.#queue.keepOnly(wanted)) entry.progress = null;
    for (const entry of wanted) {
      if (entry.image || entry.error || entry.progress) continue;
      entry.progress = { step: "waiting" };
      this.#queue.add(entry);
    }
    if (wanted.length > 0) this.#queue.hurry(wanted[0]);
  }

  /** Remembers the view of a picture that goes out of sight, and forgets its last preview. */
  #leave(entry) {
    entry.view = this.#stage.view;
    entry.preview = null;
  }

  /** A picture that cannot be shown. It stays in the strip with its reason. */
  #fail(entry, error) {
    entry.error ??= error;
    notices.showAlert(error);
    this.#desk.renderStrip();
  }

  /** The thumbnail in place of a picture whose file the browser did not keep. */
  async #placeholder({ thumbnail }) {
    return thumbnail && createImageBitmap(thumbnail).catch(() => null);
  }

  #showError(entry) {
    notices.showAlert(entry.error, () => this.encode(entry));
  }
}
