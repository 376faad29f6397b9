/** Kept objects as Ultralytics' YOLO segmentation labels: one text file per picture, one line per object. */

import { joined } from "./joining.js";
import { labelsOf, maskOf } from "./objects.js";
import { allRings, polygons } from "./polygons.js";

/** How far an outline may be off, in pixels. Stairs of pixels become lines, and shapes stay. */
const TOLERANCE = 1;

/**
 * Format: docs.ultralytics.com/datasets/segment. A line holds one polygon, so parts and holes of an object are joined
 * by cuts of no width, as Ultralytics' own converter from COCO does.
 * @param {import("./export-formats.js").Annotated[]} pictures
 * @returns {{name: string, text: string}[]} `data.yaml` and `labels/<picture>.txt`
 */
export function yoloFiles(pictures) {
  const labels = labelsOf(pictures.flatMap(({ objects }) => objects));
  const names = labels.map((label, index) => `  ${index}: ${JSON.stringify(label)}\n`).join("");
  return [
    { name: "data.yaml", text: `path: .\ntrain: images\nval: images\nnames:\n${names}` },
    ...pictures.map((picture) => ({
      name: `labels/${picture.stem}.txt`,
      text: picture.objects.map((object) => line(object, labels.indexOf(object.label), picture)).join(""),
    })),
  ];
}

function line(object, label, { width, height }) {
  const rings = allRings(polygons(maskOf(object), TOLERANCE));
  if (rings.length === 0) return "";
  const shares = joined(rings).map(([x, y]) => `${share(x, width)} ${share(y, height)}`);
  return `${label} ${shares.join(" ")}\n`;
}

function share(length, whole) {
  return String(Number((length / whole).toFixed(6)));
}
