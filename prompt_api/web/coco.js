/** Kept objects as a COCO dataset: with the run-length masks as they are, so that nothing is lost, or with polygons. */

import { joined } from "./joining.js";
import { maskOf } from "./objects.js";
import { polygons } from "./polygons.js";
import { JsonList } from "./written-text.js";

/** Format: cocodataset.org/#format-data, object detection. @implements {import("./export-formats.js").Writer} */
export class CocoWriter {
  #date;
  #segmentation;
  #images = new JsonList();
  #annotations = new JsonList();
  #labels = new Map();

  /**
   * @param {Date} date
   * @param {(mask: import("./prompts.js").Mask) => object} segmentation `asRle`, or `asPolygons` within a tolerance
   */
  constructor(date, segmentation) {
    this.#date = date;
    this.#segmentation = segmentation;
  }

  /** @param {import("./export-formats.js").Annotated} picture */
  add({ name, width, height, objects }) {
    const image = this.#images.length + 1;
    this.#images.add({ id: image, file_name: name, width, height });
    for (const object of objects) {
      const mask = maskOf(object);
      const { area, bbox, score } = mask;
      this.#annotations.add({
        id: this.#annotations.length + 1,
        image_id: image,
        category_id: this.#category(object.label),
        segmentation: this.#segmentation(mask),
        area,
        bbox,
        iscrowd: 0,
        ...(score === null ? {} : { score }),
      });
    }
  }

  finish() {
    const info = { description: "Masks of Segment Anything", date_created: this.#date.toISOString() };
    const categories = [...this.#labels].map(([name, id]) => ({ id, name, supercategory: "" }));
    const parts = [
      `{"info":${JSON.stringify(info)},"images":`,
      this.#images.blob,
      `,"categories":${JSON.stringify(categories)},"annotations":`,
      this.#annotations.blob,
      "}",
    ];
    return { name: "coco.json", blob: new Blob(parts, { type: "application/json" }) };
  }

  #category(label) {
    if (!this.#labels.has(label)) this.#labels.set(label, this.#labels.size + 1);
    return this.#labels.get(label);
  }
}

/** The exact mask as compressed run lengths. @param {import("./prompts.js").Mask} mask */
export function asRle({ rle: { size, counts } }) {
  return { size, counts };
}

/**
 * A list of polygons, one for each part. COCO has no holes: a hole is joined to the edge around it by a cut of no width.
 * @param {import("./prompts.js").Mask} mask
 * @param {number} tolerance in pixels; 0 is the exact edge
 */
export function asPolygons(mask, tolerance) {
  return polygons(mask, tolerance).map(({ outer, holes }) => joined([outer, ...holes]).flat());
}
