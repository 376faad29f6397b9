/**
 * Reads a COCO dataset.
 *
 * Format: cocodataset.org/#format-data, object detection. Masks are run lengths, compressed or not, or polygons.
 */

import { edgesOf, edgesOfRuns, maskFrom } from "./mask-edges.js";
import { filled } from "./polygon-fill.js";

/**
 * @param {string} text
 * @returns {{name: string, width: number, height: number, annotations: object[]}[]} the file's pictures; the annotations
 *   are to be read with `cocoObject`
 * @throws {RangeError} it is not a COCO dataset, in words
 */
export function cocoPictures(text) {
  const dataset = parsed(text);
  const { images, annotations, categories = [] } = dataset ?? {};
  if (![images, annotations, categories].every(Array.isArray)) throw new RangeError("it is not a COCO dataset");
  const names = new Map(categories.map((category) => [category?.id, category?.name]));
  const pictures = new Map();
  for (const image of images) {
    if (typeof image?.file_name !== "string") throw new RangeError("a picture in it has no name");
    pictures.set(image.id, { name: image.file_name, width: image.width, height: image.height, annotations: [] });
  }
  for (const annotation of annotations) {
    const label = names.get(annotation?.category_id) ?? "";
    pictures.get(annotation?.image_id)?.annotations.push({ ...annotation, label: String(label) });
  }
  return [...pictures.values()];
}

/**
 * One annotation as an object. Compressed run lengths stay as they are.
 * @param {object} annotation
 * @param {import("./mask-edges.js").Size} size [height, width] of the picture
 * @returns {{label: string, mask: import("./prompts.js").Mask}}
 * @throws {RangeError} it has no outline, or one that is damaged or of another size
 */
export function cocoObject({ segmentation, label, score }, size) {
  const mask = maskFrom(edgesOfSegmentation(segmentation, size), size);
  return { label, mask: { ...mask, score: typeof score === "number" && Number.isFinite(score) ? score : null } };
}

function edgesOfSegmentation(segmentation, size) {
  if (Array.isArray(segmentation) && segmentation.length > 0) {
    if (!segmentation.every(Array.isArray)) throw new RangeError("its outline is damaged");
    return filled(segmentation, size);
  }
  const { size: own, counts } = segmentation ?? {};
  if (own?.[0] !== size[0] || own?.[1] !== size[1]) throw new RangeError(own ? "its mask is of another size" : "it has no outline");
  if (Array.isArray(counts)) return edgesOfRuns(counts, size[0] * size[1]);
  if (typeof counts !== "string") throw new RangeError("its mask is damaged");
  return edgesOf({ size, counts });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError("it is not JSON");
  }
}
