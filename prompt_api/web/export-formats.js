/**
 * Writes kept objects as one file, in one of several formats, picture by picture.
 *
 * @typedef {{name: string, stem: string, width: number, height: number, objects: import("./objects.js").Kept[]}}
 *   Annotated a picture; `stem` is its name without extension, made unique
 * @typedef {{add: (picture: Annotated) => unknown, finish: () => unknown}} Writer `add` may return a promise; `finish`
 *   returns the file, {name: string, blob: Blob}, or a promise of it
 * @typedef {{tolerance?: number}} Options `tolerance`: how far polygons may leave the mask's edge, in pixels
 */

import { CocoWriter, asPolygons, asRle } from "./coco.js";
import { CvatWriter } from "./cvat.js";
import { LabelStudioWriter } from "./label-studio.js";
import { maskOf } from "./objects.js";
import { maskPng } from "./png.js";
import { decodeRuns } from "./rle.js";
import { YoloWriter } from "./yolo.js";
import { Archive } from "./zip.js";

/** Stairs of pixels become lines, and shapes stay. */
const TOLERANCE = 1;

/** @type {Record<string, (date: Date, options: Required<Options>) => Writer>} */
const WRITERS = {
  coco: (date) => new CocoWriter(date, asRle),
  "coco-polygons": (date, { tolerance }) => new CocoWriter(date, (mask) => asPolygons(mask, tolerance)),
  png: (date) => new PngWriter(date),
  yolo: (date, { tolerance }) => new YoloWriter(date, tolerance),
  "label-studio": (date) => new LabelStudioWriter(date),
  cvat: () => new CvatWriter(),
};

/** A file that is being written. */
export class Export {
  #writer;
  #taken = new Set();

  /** @param {keyof typeof WRITERS} format @param {Date} date @param {Options} options */
  constructor(format, date, { tolerance = TOLERANCE } = {}) {
    this.#writer = WRITERS[format](date, { tolerance });
  }

  /** @param {{name: string, width: number, height: number, objects: object[]}} picture */
  async add(picture) {
    await this.#writer.add({ ...picture, stem: this.#stem(picture.name) });
  }

  /** @returns {Promise<{name: string, blob: Blob}>} */
  async finish() {
    return this.#writer.finish();
  }

  #stem(name) {
    const plain = safeName(name.replace(/\.[^.]*$/, ""));
    let stem = plain;
    for (let count = 2; this.#taken.has(stem.toLowerCase()); count++) stem = `${plain}-${count}`;
    this.#taken.add(stem.toLowerCase());
    return stem;
  }
}

/**
 * Writes all pictures at once.
 * @param {keyof typeof WRITERS} format
 * @param {{name: string, width: number, height: number, objects: object[]}[]} pictures one without objects is left out
 * @param {Date} date
 * @param {Options} [options]
 */
export async function exported(format, pictures, date, options) {
  const file = new Export(format, date, options);
  for (const picture of pictures) if (picture.objects.length > 0) await file.add(picture);
  return file.finish();
}

/** A folder per picture, a file per object. */
class PngWriter {
  #archive;

  constructor(date) {
    this.#archive = new Archive(date);
  }

  async add({ stem, objects }) {
    for (const [index, object] of objects.entries()) {
      const { rle } = maskOf(object);
      const name = `${stem}/${String(index + 1).padStart(2, "0")}-${safeName(object.label)}.png`;
      await this.#archive.add(name, new Blob([await maskPng(decodeRuns(rle.counts), rle.size)]));
    }
  }

  finish() {
    return { name: "masks.zip", blob: this.#archive.finish() };
  }
}

/** Replaces what some file system refuses in a name. */
function safeName(text) {
  return text.replace(/[\\/:*?"<>|\p{Cc}]/gu, "_").replace(/^\.+|[. ]+$/g, "_") || "_";
}
