/**
 * Writes kept objects as one file, in one of several formats.
 *
 * @typedef {{name: string, stem: string, width: number, height: number, objects: import("./objects.js").Kept[]}}
 *   Annotated a picture; `stem` is its name without extension, made unique
 */

import { cocoDataset } from "./coco.js";
import { maskOf } from "./objects.js";
import { maskPng } from "./png.js";
import { decodeRuns } from "./rle.js";
import { yoloFiles } from "./yolo.js";
import { zip } from "./zip.js";

/** @type {Record<string, (pictures: Annotated[], date: Date) => Promise<{name: string, blob: Blob}>>} */
const WRITERS = {
  coco: async (pictures, date) => {
    const text = JSON.stringify(cocoDataset(pictures, date));
    return { name: "coco.json", blob: new Blob([text], { type: "application/json" }) };
  },
  png: async (pictures, date) => ({ name: "masks.zip", blob: zip(await maskFiles(pictures), date) }),
  yolo: async (pictures, date) => {
    const files = yoloFiles(pictures).map(({ name, text }) => ({ name, bytes: new TextEncoder().encode(text) }));
    return { name: "yolo.zip", blob: zip(files, date) };
  },
};

/**
 * @param {keyof typeof WRITERS} format
 * @param {{name: string, width: number, height: number, objects: object[]}[]} pictures one without objects is left out
 * @param {Date} date
 */
export function exported(format, pictures, date) {
  return WRITERS[format](withStems(pictures.filter(({ objects }) => objects.length > 0)), date);
}

async function maskFiles(pictures) {
  const files = [];
  for (const { stem, objects } of pictures) {
    for (const [index, object] of objects.entries()) {
      const { rle } = maskOf(object);
      const name = `${stem}/${String(index + 1).padStart(2, "0")}-${safeName(object.label)}.png`;
      files.push({ name, bytes: await maskPng(decodeRuns(rle.counts), rle.size) });
    }
  }
  return files;
}

function withStems(pictures) {
  const taken = new Set();
  return pictures.map((picture) => {
    const plain = safeName(picture.name.replace(/\.[^.]*$/, ""));
    let stem = plain;
    for (let count = 2; taken.has(stem.toLowerCase()); count++) stem = `${plain}-${count}`;
    taken.add(stem.toLowerCase());
    return { ...picture, stem };
  });
}

/** Replaces what some file system refuses in a name. */
function safeName(text) {
  return text.replace(/[\\/:*?"<>|\p{Cc}]/gu, "_").replace(/^\.+|[. ]+$/g, "_") || "_";
}
