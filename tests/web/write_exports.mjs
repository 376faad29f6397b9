/** Writes what the page exports: `node write_exports.mjs FOLDER`, with the pictures as JSON on standard input. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { exported } from "../../prompt_api/web/export-formats.js";

const pictures = JSON.parse(readFileSync(0, "utf8"));
for (const format of ["coco", "coco-polygons", "png", "yolo", "label-studio", "cvat"]) {
  const { name, blob } = await exported(format, pictures, new Date("2026-11-22T18:00:00Z"));
  const folder = join(process.argv[2], format);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), new Uint8Array(await blob.arrayBuffer()));
}
