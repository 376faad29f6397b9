/** Opens files of all kinds: pictures, and annotations of them, dropped together or later. */

import { adopted } from "./adopting.js";
import { showRefused } from "./dialogs.js";
import { readBeside } from "./exporting.js";
import { folderOf } from "./files.js";
import { isAnnotation } from "./import-formats.js";
import { announce, offer, showAlert } from "./notices.js";
import { Problem } from "./problems.js";

/** The most names in one message. */
const MOST_NAMES = 5;

export class Importer {
  #gallery;
  #pictures;
  #classes;
  #desk;

  /**
   * @param {{gallery: import("./gallery.js").Gallery, pictures: import("./pictures.js").Pictures,
   *   classes: import("./class-book.js").ClassBook, desk: import("./desk.js").Desk}} parts
   */
  constructor({ gallery, pictures, classes, desk }) {
    this.#gallery = gallery;
    this.#pictures = pictures;
    this.#classes = classes;
    this.#desk = desk;
  }

  /** Opens the pictures among the files, then adds the annotated objects to the open pictures. @param {File[]} files */
  async open(files) {
    const pictures = [];
    const annotations = [];
    for (const file of files) ((await isAnnotation(file)) ? annotations : pictures).push(file);
    if (pictures.length > 0) await this.#pictures.open(pictures);
    if (annotations.length > 0) await this.#read(annotations);
  }

  async #read(files) {
    const entries = [...this.#gallery.entries];
    const pictures = entries.map(({ name, source, size }) => {
      return { name, folder: source.folder, width: size?.width ?? null, height: size?.height ?? null };
    });
    const given = files.map((file) => ({ file, folder: folderOf(file) }));
    const { found, leftOut } = await readBeside(given, pictures);
    let count = 0;
    const changed = new Set();
    for (const { picture, objects } of found) {
      const entry = entries[picture];
      // It may have been removed while the files were read.
      if (!this.#gallery.entries.includes(entry)) continue;
      const { timeline, added } = adopted(entry.timeline, objects, (label) => this.#classes.add(label));
      entry.timeline = timeline;
      count += added;
      if (added > 0) changed.add(entry);
    }
    this.#desk.render();
    announce(sentence(count, changed.size, found.length > 0));
    if (leftOut.length > 0) tell(leftOut);
  }
}

function sentence(objects, pictures, wasFound) {
  if (objects === 0) return wasFound ? "All these objects are here already." : "Nothing was imported.";
  return `Imported ${objects} object${objects === 1 ? "" : "s"} on ${pictures} picture${pictures === 1 ? "" : "s"}.`;
}

/** Tells once, at the end, what was not imported. */
function tell(leftOut) {
  const names = [...new Set(leftOut.map(({ name }) => name))];
  const more = names.length - MOST_NAMES;
  const list = `${names.slice(0, MOST_NAMES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  const detail = leftOut.length === 1 ? `${leftOut[0].name}: ${leftOut[0].reason}.` : `Left out: ${list}.`;
  showAlert(new Problem("not-imported", { detail }));
  if (leftOut.length > 1) offer("Show all", () => showRefused(leftOut.map(({ name, reason }) => ({ name, reason: `${reason}.` }))));
}
