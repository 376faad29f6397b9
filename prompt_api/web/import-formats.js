/**
 * Reads files with annotations and finds the pictures that they are of.
 *
 * @typedef {{name: string, folder: string, width: number|null, height: number|null}} Picture an open picture; its size is
 *   null as long as it is not known
 * @typedef {{name: string, reason: string}} LeftOut a file, or a picture in a file, and why nothing is read of it
 */

import { cocoObject, cocoPictures } from "./import-coco.js";
import { isYolo, namesIn, yoloObjects } from "./import-yolo.js";

/** A larger file does not fit into one string of some browsers. */
const MOST_BYTES = 256 * 2 ** 20;
/** As many letters as tell a label file from another text. */
const HEAD_BYTES = 4096;

/** Whether a file holds annotations, by its name and its first bytes. @param {File} file */
export async function isAnnotation(file) {
  if (/\.(json|ya?ml)$/i.test(file.name) || file.name.toLowerCase() === "classes.txt") return true;
  return /\.txt$/i.test(file.name) && isYolo(await file.slice(0, HEAD_BYTES).text());
}

/**
 * @param {{file: File, folder: string}[]} files
 * @param {Picture[]} pictures
 * @returns {Promise<{found: {picture: number, objects: {label: string, mask: import("./prompts.js").Mask}[]}[],
 *   leftOut: LeftOut[]}>} `picture` is an index in `pictures`
 */
export async function readAnnotations(files, pictures) {
  const found = [];
  const leftOut = [];
  const labels = [];
  let names = [];
  for (const { file, folder } of files) {
    if (file.size > MOST_BYTES) {
      leftOut.push({ name: file.name, reason: "it is larger than 256 MB" });
      continue;
    }
    const text = await file.text();
    if (/\.json$/i.test(file.name)) readCoco(file.name, text, pictures, found, leftOut);
    else if (/\.ya?ml$/i.test(file.name)) {
      const inFile = namesIn(text);
      if (inFile) names = inFile;
      else leftOut.push({ name: file.name, reason: "it has no names of classes" });
    } else if (file.name.toLowerCase() === "classes.txt") {
      names = text.split(/\r?\n/).map((line) => line.trim());
    } else labels.push({ name: file.name, folder, text });
  }
  for (const label of labels) readYolo(label, names, pictures, found, leftOut);
  return { found, leftOut };
}

function readCoco(file, text, pictures, found, leftOut) {
  let inFile;
  try {
    inFile = cocoPictures(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return leftOut.push({ name: file, reason: error.message });
  }
  const annotated = inFile.filter(({ annotations }) => annotations.length > 0);
  matched(annotated, pictures).forEach((picture, index) => {
    const one = annotated[index];
    const reason = picture === null ? "no open picture has this name" : misfit(pictures[picture], one, file);
    if (reason) leftOut.push({ name: one.name, reason });
    else keep(one.name, picture, cocoObjects(one.annotations, [one.height, one.width]), found, leftOut);
  });
}

/** Why the annotations are not of this picture, or null. */
function misfit({ width, height }, one, file) {
  if (width === null) return "its size is not known before it was shown once";
  if (one.width === width && one.height === height) return null;
  return `it has ${width} × ${height} pixels here and ${one.width} × ${one.height} in ${file}`;
}

function cocoObjects(annotations, size) {
  const objects = [];
  const faults = [];
  annotations.forEach((annotation, index) => {
    try {
      objects.push(cocoObject(annotation, size));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      faults.push(`annotation ${annotation.id ?? index + 1}: ${error.message}`);
    }
  });
  return { objects, faults };
}

function readYolo({ name, folder, text }, names, pictures, found, leftOut) {
  const stem = name.replace(/\.txt$/i, "");
  const named = indices(pictures, (picture) => picture.name.replace(/\.[^.]*$/, "") === stem);
  const beside = folder.replace(/(^|\/)labels(?=\/|$)/, "$1images");
  const candidates = named.length > 1 ? named.filter((index) => [folder, beside].includes(pictures[index].folder)) : named;
  if (candidates.length !== 1) {
    const reason = named.length > 1 ? "several open pictures have this name" : "no open picture has this name";
    return leftOut.push({ name, reason });
  }
  const [picture] = candidates;
  const { width, height } = pictures[picture];
  if (width === null) return leftOut.push({ name, reason: "the size of its picture is not known before it was shown once" });
  keep(name, picture, yoloObjects(text, names, [height, width]), found, leftOut);
}

function keep(name, picture, { objects, faults }, found, leftOut) {
  if (objects.length > 0) found.push({ picture, objects });
  if (faults.length > 0) leftOut.push({ name, reason: faults.length === 1 ? faults[0] : `${faults[0]}, and ${faults.length - 1} more` });
}

/**
 * For each picture of a file the index of the open one with its name, or null. Several of one name are told apart by
 * their folders; without folders they are paired in order, if there are as many here as there.
 */
function matched(inFile, pictures) {
  const here = new Map();
  pictures.forEach(({ name }, index) => here.set(name, [...(here.get(name) ?? []), index]));
  const turns = new Map();
  const counts = new Map();
  for (const { name } of inFile) counts.set(name, (counts.get(name) ?? 0) + 1);
  return inFile.map(({ name }) => {
    const path = name.split(/[\\/]/);
    const named = here.get(path.at(-1)) ?? [];
    const exact = named.filter((index) => endsWith([...pictures[index].folder.split("/"), pictures[index].name], path));
    const candidates = path.length > 1 && exact.length > 0 ? exact : named;
    const turn = turns.get(name) ?? 0;
    turns.set(name, turn + 1);
    if (candidates.length === 1) return candidates[0];
    return candidates.length === counts.get(name) ? candidates[turn] : null;
  });
}

function endsWith(path, end) {
  return end.length <= path.length && end.every((part, index) => part === path[path.length - end.length + index]);
}

function indices(list, test) {
  return [...list.keys()].filter((index) => test(list[index]));
}
