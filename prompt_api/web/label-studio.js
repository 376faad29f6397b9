/** Kept objects as tasks of Label Studio, each with its masks as a prediction. */

import { rowRuns } from "./row-runs.js";
import { edgesOf } from "./mask-edges.js";
import { maskOf } from "./objects.js";
import { packed } from "./rle-pack.js";
import { JsonList } from "./written-text.js";
import { attribute } from "./xml.js";
import { Archive } from "./zip.js";

/** The names of the tags in the labelling configuration that comes with the tasks. */
const IMAGE = "image";
const BRUSH = "tag";

/**
 * A ZIP with `tasks.json` to import and `config.xml` for the labelling interface.
 *
 * Format: labelstud.io/guide/tasks (JSON) and labelstud.io/guide/predictions.
 * @implements {import("./export-formats.js").Writer}
 */
export class LabelStudioWriter {
  #date;
  #tasks = new JsonList();
  #colours = new Map();
  #regions = 0;

  /** @param {Date} date */
  constructor(date) {
    this.#date = date;
  }

  /** @param {import("./export-formats.js").Annotated} picture */
  add({ name, width, height, objects }) {
    const result = objects.map((object) => {
      const { label, colour } = object;
      if (!this.#colours.has(label)) this.#colours.set(label, colour);
      const rle = packed(rowRuns(edgesOf(maskOf(object).rle), height, [0, 0, width, height]), width * height);
      return {
        id: `mask-${++this.#regions}`,
        type: "brushlabels",
        from_name: BRUSH,
        to_name: IMAGE,
        original_width: width,
        original_height: height,
        image_rotation: 0,
        value: { format: "rle", rle: [...rle], brushlabels: [label] },
      };
    });
    this.#tasks.add({ data: { [IMAGE]: name }, predictions: [{ model_version: "segment-anything", result }] });
  }

  async finish() {
    const labels = [...this.#colours].map(([label, colour]) => {
      return `    <Label value="${attribute(label)}" background="${attribute(colour)}"/>\n`;
    });
    const config = `<View>
  <Image name="${IMAGE}" value="$${IMAGE}" zoom="true" zoomControl="true"/>
  <BrushLabels name="${BRUSH}" toName="${IMAGE}">
${labels.join("")}  </BrushLabels>
</View>
`;
    const archive = new Archive(this.#date);
    await archive.add("tasks.json", this.#tasks.blob);
    await archive.add("config.xml", new Blob([config]));
    return { name: "label-studio.zip", blob: archive.finish() };
  }
}
