/** Kept objects as Ultralytics' YOLO segmentation labels: one text file per picture, one line per object. */

import { joined } from "./joining.js";
import { maskOf } from "./objects.js";
import { allRings, polygons } from "./polygons.js";
import { Archive } from "./zip.js";

/**
 * Format: docs.ultralytics.com/datasets/segment. A line holds one polygon, so parts and holes of an object are joined
 * by cuts of no width, as Ultralytics' own converter from COCO does.
 * @implements {import("./export-formats.js").Writer}
 */
export class YoloWriter {
  #archive;
  #tolerance;
  #labels = [];

  /** @param {Date} date @param {number} tolerance how far an outline may be off, in pixels */
  constructor(date, tolerance) {
    this.#archive = new Archive(date);
    this.#tolerance = tolerance;
  }

  /** @param {import("./export-formats.js").Annotated} picture */
  async add(picture) {
    const text = picture.objects.map((object) => this.#line(object, picture)).join("");
    await this.#archive.add(`labels/${picture.stem}.txt`, new Blob([text]));
  }

  async finish() {
    const names = this.#labels.map((label, index) => `  ${index}: ${JSON.stringify(label)}\n`).join("");
    await this.#archive.add("data.yaml", new Blob([`path: .\ntrain: images\nval: images\nnames:\n${names}`]));
    return { name: "yolo.zip", blob: this.#archive.finish() };
  }

  #line(object, { width, height }) {
    if (!this.#labels.includes(object.label)) this.#labels.push(object.label);
    const rings = allRings(polygons(maskOf(object), this.#tolerance));
    if (rings.length === 0) return "";
    const shares = joined(rings).map(([x, y]) => `${share(x, width)} ${share(y, height)}`);
    return `${this.#labels.indexOf(object.label)} ${shares.join(" ")}\n`;
  }
}

function share(length, whole) {
  return String(Number((length / whole).toFixed(6)));
}
