/** Writes kept objects as a COCO dataset, with the run-length masks of the answers, so that nothing is lost. */

import { labelsOf, maskOf } from "./objects.js";

/**
 * Format: cocodataset.org/#format-data, object detection.
 * @param {import("./export-formats.js").Annotated[]} pictures
 * @param {Date} date
 */
export function cocoDataset(pictures, date) {
  const labels = labelsOf(pictures.flatMap(({ objects }) => objects));
  const annotations = pictures.flatMap(({ objects }, picture) =>
    objects.map((object) => {
      const { rle, area, bbox, score } = maskOf(object);
      return {
        image_id: picture + 1,
        category_id: labels.indexOf(object.label) + 1,
        segmentation: { size: rle.size, counts: rle.counts },
        area,
        bbox,
        iscrowd: 0,
        score,
      };
    }),
  );
  return {
    info: { description: "Masks of Segment Anything", date_created: date.toISOString() },
    images: pictures.map(({ name, width, height }, picture) => ({ id: picture + 1, file_name: name, width, height })),
    categories: labels.map((name, label) => ({ id: label + 1, name, supercategory: "" })),
    annotations: annotations.map((annotation, index) => ({ id: index + 1, ...annotation })),
  };
}
