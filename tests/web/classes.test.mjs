import assert from "node:assert/strict";
import { test } from "node:test";

import { ClassBook } from "../../prompt_api/web/class-book.js";
import { PALETTE, classNamed, renamed, withClass, without } from "../../prompt_api/web/classes.js";
import { START, amendObjects, commit, redo, undo } from "../../prompt_api/web/timeline.js";

const names = (classes) => classes.map(({ name }) => name);

function classesNamed(...labels) {
  return labels.reduce(withClass, []);
}

function lineWith(...labels) {
  return labels.reduce(
    (line, label, index) =>
      commit(line, { objects: [...line.now.objects, { id: index + 1, label, colour: "#000000", step: {} }] }),
    START,
  );
}

const labels = (line) => line.now.objects.map(({ label }) => label);

test("a class is added once, under a cleaned name", () => {
  assert.deepEqual(names(classesNamed("cat", " cat ", "dog", "")), ["cat", "dog", "object"]);
});

test("colours differ until all are used, and the colour of a removed class is used again", () => {
  const all = classesNamed(...PALETTE.map((_, index) => `c${index}`));
  assert.deepEqual(all.map(({ colour }) => colour), PALETTE);
  assert.equal(withClass(without(all, "c3"), "new").at(-1).colour, PALETTE[3]);
});

test("a renamed class keeps its place and colour, and one that takes the name of another becomes that one", () => {
  const classes = classesNamed("cat", "dog", "bird");
  assert.deepEqual(renamed(classes, "dog", "wolf")[1], { name: "wolf", colour: PALETTE[1] });
  assert.deepEqual(names(renamed(classes, "dog", "cat")), ["cat", "bird"]);
  assert.equal(classNamed(renamed(classes, "dog", "cat"), "cat").colour, PALETTE[0]);
  assert.equal(renamed(classes, "dog", " dog "), classes);
});

test("renaming and merging reach the objects of every picture, and undo does not bring the old name back", () => {
  const gallery = { entries: [{ timeline: undo(lineWith("cat", "dog")) }, { timeline: lineWith("dog") }, { timeline: START }] };
  let changes = 0;
  const book = new ClassBook(gallery, () => changes++);
  for (const label of ["cat", "dog"]) book.use(label);
  assert.deepEqual([...book.counts()], [["cat", 1], ["dog", 1]]);

  book.rename("dog", "wolf");
  assert.equal(book.current, "wolf");
  assert.deepEqual(labels(redo(gallery.entries[0].timeline)), ["cat", "wolf"]);
  assert.deepEqual(labels(gallery.entries[1].timeline), ["wolf"]);
  assert.equal(gallery.entries[2].timeline, START);

  book.rename("wolf", "cat");
  assert.deepEqual(names(book.list), ["cat"]);
  const [object] = gallery.entries[1].timeline.now.objects;
  assert.deepEqual([object.label, object.colour], ["cat", PALETTE[0]]);

  book.recolour("cat", "#123456");
  assert.equal(gallery.entries[0].timeline.now.objects[0].colour, "#123456");
  assert.equal(changes, 5);
});

test("objects that come back bring their class back", () => {
  const book = new ClassBook({ entries: [] }, () => {});
  book.use("cat");
  book.remove("cat");
  assert.equal(book.current, null);
  book.include([{ label: "cat", colour: "#111111" }, { label: "cat", colour: "#222222" }]);
  assert.deepEqual(book.list, [{ name: "cat", colour: "#111111" }]);
});

test("what no change touches stays the same object, so that it is not written again", () => {
  const line = lineWith("cat", "dog");
  assert.equal(amendObjects(line, (object) => object), line);
  const next = amendObjects(line, (object) => (object.label === "dog" ? { ...object, label: "wolf" } : object));
  assert.equal(next.past[1], line.past[1]);
  assert.equal(next.now.objects[0], line.now.objects[0]);
});
