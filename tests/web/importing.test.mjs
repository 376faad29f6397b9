import assert from "node:assert/strict";
import { test } from "node:test";

import { adopted } from "../../prompt_api/web/adopting.js";
import { exported } from "../../prompt_api/web/export-formats.js";
import { isAnnotation, readAnnotations } from "../../prompt_api/web/import-formats.js";
import { namesIn } from "../../prompt_api/web/import-yolo.js";
import { maskFrom } from "../../prompt_api/web/mask-edges.js";
import { maskOf } from "../../prompt_api/web/objects.js";
import { filled } from "../../prompt_api/web/polygon-fill.js";
import { START, undo } from "../../prompt_api/web/timeline.js";
import { cellsOf, edgesOfCells, random, someCells } from "./masks.mjs";

const SIZE = [60, 90];
const NOW = new Date("2026-11-27T03:00:00Z");
const PICTURE = { name: "photo.jpg", folder: "", width: 90, height: 60 };

function kept(label, mask, id) {
  return { id, label, colour: "#ff8c1a", step: { masks: [mask], chosen: 0 } };
}

function someObjects(count) {
  const next = random(count);
  return Array.from({ length: count }, (_, id) => kept(id % 2 ? "cat" : "dog", maskFrom(edgesOfCells(someCells(SIZE, next)), SIZE), id));
}

const named = (name, text) => ({ file: new File([text], name), folder: "" });

async function roundTrip(format, objects, options) {
  const { blob } = await exported(format, [{ ...PICTURE, objects }], NOW, options);
  return readAnnotations([named("coco.json", await blob.text())], [PICTURE]);
}

test("an exported COCO file gives the same masks bit for bit", async () => {
  const objects = someObjects(9);
  const { found, leftOut } = await roundTrip("coco", objects);
  assert.deepEqual(leftOut, []);
  assert.deepEqual(found[0].objects.map(({ label, mask }) => [label, mask]), objects.map((one) => [one.label, maskOf(one)]));
});

test("COCO polygons along the exact edge give the same masks bit for bit too", async () => {
  const objects = someObjects(9).filter((object) => maskOf(object).area > 0);
  const { found } = await roundTrip("coco-polygons", objects, { tolerance: 0 });
  assert.deepEqual(found[0].objects.map(({ mask }) => mask.rle.counts), objects.map((one) => maskOf(one).rle.counts));
});

test("uncompressed run lengths are read, and a score stays", async () => {
  const dataset = {
    images: [{ id: 5, file_name: "photo.jpg", width: 90, height: 60 }],
    categories: [{ id: 2, name: "cat" }],
    annotations: [{ id: 1, image_id: 5, category_id: 2, score: 0.5, segmentation: { size: SIZE, counts: [10, 20, 0, 5, 5365] } }],
  };
  const { found } = await readAnnotations([named("a.json", JSON.stringify(dataset))], [PICTURE]);
  const [{ label, mask }] = found[0].objects;
  assert.deepEqual([label, mask.area, mask.score, mask.mask_token], ["cat", 25, 0.5, null]);
});

test("a polygon covers the pixels whose centres are inside", () => {
  const next = random(4);
  for (let round = 0; round < 60; round++) {
    const polygon = Array.from({ length: 10 }, (_, index) => next() * (index % 2 ? 80 : 110) - 10);
    const inside = (x, y) => {
      let crossings = 0;
      for (let i = 0; i < polygon.length; i += 2) {
        const [x0, y0, x1, y1] = [0, 1, 2, 3].map((offset) => polygon[(i + offset) % polygon.length]);
        if (x0 <= x !== x1 <= x && y0 + ((x - x0) * (y1 - y0)) / (x1 - x0) > y) crossings++;
      }
      return crossings % 2;
    };
    const expected = Uint8Array.from({ length: 5400 }, (_, place) => inside(Math.floor(place / 60) + 0.5, (place % 60) + 0.5));
    assert.deepEqual(cellsOf(filled([polygon], SIZE), SIZE), expected);
  }
});

test("YOLO labels come back with their names and nearly the same masks", async () => {
  const cells = new Uint8Array(5400);
  for (let x = 10; x < 60; x++) cells.fill(1, x * 60 + 5, x * 60 + 50);
  for (let x = 20; x < 30; x++) cells.fill(0, x * 60 + 15, x * 60 + 30);
  const mask = maskFrom(edgesOfCells(cells), SIZE);
  const { blob } = await exported("yolo", [{ ...PICTURE, objects: [kept("a: 'b'", mask, 1)] }], NOW);
  const archive = new TextDecoder().decode(await blob.arrayBuffer());
  const yaml = archive.slice(archive.indexOf("path: ."), archive.indexOf("PK\x01"));
  const line = /^.*labels\/photo\.txt([\d. ]+\n)/m.exec(archive)[1];
  const { found, leftOut } = await readAnnotations([named("photo.txt", line), named("data.yaml", yaml)], [PICTURE]);
  assert.deepEqual(leftOut, []);
  assert.equal(found[0].objects[0].label, "a: 'b'");
  assert.equal(found[0].objects[0].mask.rle.counts, mask.rle.counts);
});

test("names are read from lists and maps, in one line or in several", () => {
  for (const text of [
    "names: [dog, \"a, b\", 'it''s']",
    "nc: 3\nnames:\n  0: dog\n  1: \"a, b\"\n  2: 'it''s'\ntrain: x",
    "names: {0: dog, 1: \"a, b\", 2: 'it''s'}",
    "names:\n- dog # the first\n- \"a, b\"\n- 'it''s'\nnc: 3",
  ]) {
    assert.deepEqual(namesIn(text), ["dog", "a, b", "it's"], text);
  }
  assert.equal(namesIn("path: ."), null);
});

test("what cannot be matched or read is told with its reason, and the rest is read", async () => {
  const mask = maskFrom(Uint32Array.of(5, 9), SIZE);
  const dataset = (name, segmentation, width = 90) => ({
    images: [{ id: 1, file_name: name, width, height: 60 }],
    annotations: [{ id: 7, image_id: 1, category_id: 1, segmentation }, { id: 8, image_id: 1, category_id: 1, segmentation: mask.rle }],
    categories: [{ id: 1, name: "dog" }],
  });
  const reasonOf = async (text, name = "a.json") => {
    const { found, leftOut } = await readAnnotations([named(name, typeof text === "string" ? text : JSON.stringify(text))], [PICTURE]);
    return [found.flatMap(({ objects }) => objects).length, ...leftOut.map(({ reason }) => reason)];
  };
  assert.deepEqual(await reasonOf("{"), [0, "it is not JSON"]);
  assert.deepEqual(await reasonOf("[]"), [0, "it is not a COCO dataset"]);
  assert.deepEqual(await reasonOf(dataset("other.jpg", mask.rle)), [0, "no open picture has this name"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", mask.rle, 91)), [0, "it has 90 × 60 pixels here and 91 × 60 in a.json"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", [])), [1, "annotation 7: it has no outline"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", undefined)), [1, "annotation 7: it has no outline"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", { size: [9, 9], counts: "1" })), [1, "annotation 7: its mask is of another size"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", { size: SIZE, counts: "99" })), [1, "annotation 7: the runs do not fit the size"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", { size: SIZE, counts: "\u0001" })), [1, "annotation 7: not a COCO run-length string"]);
  assert.deepEqual(await reasonOf(dataset("photo.jpg", [[1, 2, 3, null, 5, 6]])), [1, "annotation 7: a polygon consists of numbers"]);
  assert.deepEqual(await reasonOf("0 0.5 0.5 0.2 0.2\n0 0 0 0.5 0 0.5 0.5\n", "photo.txt"), [1, "line 1: it is a box and no outline"]);
  assert.deepEqual(await reasonOf("0 0 0 0.5 0 0.5 0.5\n", "other.txt"), [0, "no open picture has this name"]);
  assert.deepEqual(await reasonOf("nc: 3", "data.yaml"), [0, "it has no names of classes"]);
});

test("pictures of one name are told apart by their folders, or paired in order", async () => {
  const one = { ...PICTURE, folder: "set/a/images" };
  const two = { ...PICTURE, folder: "set/b/images" };
  const file = (name, id, count) => ({
    images: { id, file_name: name, width: 90, height: 60 },
    annotations: { image_id: id, category_id: 1, segmentation: maskFrom(Uint32Array.of(0, count), SIZE).rle },
  });
  const read = async (...parts) => {
    const text = JSON.stringify({ images: parts.map((p) => p.images), annotations: parts.map((p) => p.annotations), categories: [] });
    const { found } = await readAnnotations([named("a.json", text)], [one, two]);
    return found.map(({ picture, objects }) => [picture, objects[0].mask.area]);
  };
  assert.deepEqual(await read(file("b/images/photo.jpg", 1, 4), file("a/images/photo.jpg", 2, 5)), [[1, 4], [0, 5]]);
  assert.deepEqual(await read(file("photo.jpg", 1, 4), file("photo.jpg", 2, 5)), [[0, 4], [1, 5]]);
  assert.deepEqual(await read(file("photo.jpg", 1, 4)), []);
  const yolo = { file: new File(["0 0 0 1 0 1 1\n"], "photo.txt"), folder: "set/b/labels" };
  assert.deepEqual((await readAnnotations([yolo], [one, two])).found.map(({ picture }) => picture), [1]);
});

test("a file is taken for annotations by its name, and a text only if it looks like labels", async () => {
  const is = (name, text = "") => isAnnotation(new File([text], name));
  assert.deepEqual(await Promise.all([is("a.json"), is("data.YAML"), is("classes.txt"), is("photo.jpg")]), [true, true, true, false]);
  assert.equal(await is("photo.txt", "0 0.1 0.2 0.3 0.4 0.5 0.6\n"), true);
  assert.equal(await is("notes.txt", "not a picture"), false);
});

test("objects from a file are added in one step, with ids of their own, and not twice", () => {
  const objects = someObjects(4).map((one) => ({ label: one.label, mask: maskOf(one) })).filter(({ mask }) => mask.area > 0);
  const classOf = (label) => ({ name: label, colour: "#123456" });
  const { timeline, added } = adopted(START, objects, classOf);
  assert.equal(added, objects.length);
  assert.equal(new Set(timeline.now.objects.map(({ id }) => id)).size, added);
  assert.ok(timeline.nextId > Math.max(...timeline.now.objects.map(({ id }) => id)));
  assert.deepEqual(undo(timeline).now.objects, []);
  assert.deepEqual(adopted(timeline, objects, classOf), { timeline, added: 0 });
});
