/** Kept objects as CVAT's own annotations of images. */

import { edgesOf } from "./mask-edges.js";
import { maskOf } from "./objects.js";
import { rowRuns } from "./row-runs.js";
import { Text } from "./written-text.js";
import { attribute } from "./xml.js";

/**
 * "CVAT for images 1.1", with each mask as it is. CVAT finds the pictures of its task by their names.
 *
 * Format: docs.cvat.ai/docs/manual/advanced/xml_format. `rle` has the runs along the rows of the mask's box, from left,
 * top, the first of background.
 * @implements {import("./export-formats.js").Writer}
 */
export class CvatWriter {
  #images = new Text();
  #count = 0;
  #colours = new Map();

  /** @param {import("./export-formats.js").Annotated} picture */
  add({ name, width, height, objects }) {
    const attributes = `id="${this.#count++}" name="${attribute(name)}" width="${width}" height="${height}"`;
    this.#images.add(`  <image ${attributes}>\n`);
    objects.forEach((object, order) => {
      const { label, colour } = object;
      if (!this.#colours.has(label)) this.#colours.set(label, colour);
      const { rle, bbox, area } = maskOf(object);
      if (area > 0) this.#images.add(maskElement(rowRuns(edgesOf(rle), height, bbox), label, bbox, order));
    });
    this.#images.add("  </image>\n");
  }

  finish() {
    const labels = [...this.#colours].map(([label, colour]) => {
      return `        <label><name>${attribute(label)}</name><color>${colour}</color><type>mask</type><attributes/></label>\n`;
    });
    const head = `<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <size>${this.#count}</size>
      <mode>annotation</mode>
      <labels>
${labels.join("")}      </labels>
    </task>
  </meta>
`;
    const blob = new Blob([head, this.#images.blob, "</annotations>\n"], { type: "application/xml" });
    return { name: "annotations.xml", blob };
  }
}

function maskElement(runs, label, [left, top, width, height], order) {
  const box = `left="${left}" top="${top}" width="${width}" height="${height}"`;
  const name = `label="${attribute(label)}" source="manual" occluded="0"`;
  return `    <mask ${name} rle="${runs.join(", ")}" ${box} z_order="${order}"></mask>\n`;
}
