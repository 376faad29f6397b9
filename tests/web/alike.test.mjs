import assert from "node:assert/strict";
import { test } from "node:test";

import { adopted } from "../../prompt_api/web/adopting.js";
import { textOf } from "../../prompt_api/web/alike-row.js";
import { MOST_EXAMPLES, candidatesOf, isLit, litOf, offered, requestFor, unjudgedOf, wishFor } from "../../prompt_api/web/alike-search.js";
import { carriedWishes } from "../../prompt_api/web/carrying.js";
import { isSameObject, maskFrom } from "../../prompt_api/web/mask-edges.js";
import { Problem } from "../../prompt_api/web/problems.js";
import { START } from "../../prompt_api/web/timeline.js";
import { cellsOf, random, someCells, edgesOfCells } from "./masks.mjs";

const SIZE = [40, 60];

/** A rectangle on a picture of 60x40 pixels. */
function mask(x, y, width = 6, height = 6) {
  const edges = Array.from({ length: width }, (_, column) => [(x + column) * SIZE[0] + y, (x + column) * SIZE[0] + y + height]);
  return { ...maskFrom(Uint32Array.from(edges.flat()), SIZE), score: 0.9, mask_token: `${x}-${y}` };
}

let nextId = 1;
function kept(label, its) {
  return { id: nextId++, label, colour: "#ff8c1a", step: { masks: [its], chosen: 0 } };
}

function candidate(x, similarity, { label = "coin", y = 20 } = {}) {
  return { ...mask(x, y), point: { x: x + 3, y: y + 3 }, similarity, label };
}

function picture(hash, objects) {
  return { hash, timeline: { ...START, now: { ...START.now, objects } } };
}

const NONE = new Map();

test("two masks are the same object if more than half of their union is shared", () => {
  const next = random(7);
  for (let round = 0; round < 200; round++) {
    const [one, other] = [someCells([9, 12], next), someCells([9, 12], next)];
    const [first, second] = [one, other].map((cells) => maskFrom(edgesOfCells(cells), [9, 12]));
    const both = one.reduce((sum, cell, place) => sum + (cell & other[place]), 0);
    const either = one.reduce((sum, cell, place) => sum + (cell | other[place]), 0);
    assert.equal(isSameObject(first, second), both * 2 > either);
  }
  assert.equal(cellsOf(Uint32Array.from([0, 2]), [2, 1])[1], 1);
});

test("a search names the example, what may be mistaken for it, and what is kept", () => {
  const [example, like, large, other] = [mask(0, 0), mask(10, 0), mask(20, 0, 30, 30), mask(0, 10)];
  const objects = [kept("coin", example), kept("button", like), kept("table", large), kept("coin", other)];
  const body = requestFor(wishFor(objects[0], objects, "here"), NONE, objects);
  assert.deepEqual(body.examples, [
    { image_id: "here", mask: { rle: example.rle }, label: 1 },
    { image_id: "here", mask: { rle: like.rle }, label: 0 },
  ]);
  assert.deepEqual(body.exclude.map(({ rle }) => rle), [example, like, large, other].map(({ rle }) => rle));
});

test("what a person said is taught, for the class that it was said of, within the bounds of a request", () => {
  const objects = [kept("coin", mask(0, 0))];
  const wish = wishFor(objects[0], objects, "here");
  const [wrong, right, foreign] = [candidate(0, 0.9), candidate(10, 0.3), candidate(20, 0.9, { label: "button" })];
  const verdicts = new Map([[wrong, 0], [right, 1], [foreign, 0]]);
  const { examples } = requestFor(wish, verdicts, objects);
  assert.deepEqual(examples.map(({ mask: { rle }, label }) => [rle.counts, label]), [
    [maskOf(objects[0]).rle.counts, 1],
    [right.rle.counts, 1],
    [wrong.rle.counts, 0],
  ]);
  const many = new Map(Array.from({ length: 100 }, (_, index) => [candidate(index % 54, 0.5, { y: Math.floor(index / 54) }), 0]));
  const body = requestFor(wish, many, objects);
  assert.equal(body.examples.length, MOST_EXAMPLES);
  assert.equal(body.examples.at(-1).mask.rle, [...many.keys()].at(-1).rle, "the last one stays");
  assert.equal(body.exclude.length, 101);
});

test("what is kept, or was found for another class with more similarity, is not offered", () => {
  const [sure, twin, taken, unsure] = [candidate(0, 0.9), candidate(1, 0.6, { label: "button" }), candidate(20, 0.8), candidate(40, 0.4)];
  const list = offered([unsure, twin, taken, sure], NONE, [kept("coin", mask(20, 20))]);
  assert.deepEqual(list, [sure, unsure]);
});

test("what a person judged stays what it is when the search is asked again", () => {
  const [wrong, right, again] = [candidate(0, 0.9), candidate(20, 0.3), candidate(1, 0.95)];
  const run = { verdicts: new Map([[wrong, 0], [right, 1]]), least: 0.5, candidates: [] };
  run.candidates = offered([again, candidate(40, 0.7)], run.verdicts, []);
  assert.deepEqual(litOf(run).map(({ similarity }) => similarity), [0.7, 0.3]);
  assert.equal(isLit(run, wrong), false);
  assert.deepEqual(unjudgedOf(run).map(({ similarity }) => similarity), [0.7]);
});

test("a found mask is kept with the click that gives it, all masks in one step", () => {
  const [found] = candidatesOf({ masks: [{ ...mask(3, 4), similarity: 0.8, point: [6.5, 7] }] }, "coin");
  let asked = 0;
  const classOf = (name) => ({ name, colour: `#00000${asked++}` });
  const { timeline, added } = adopted(START, [{ label: "coin", mask: mask(3, 4), point: found.point }, { label: "coin", mask: mask(20, 4) }], classOf);
  assert.equal(added, 2);
  assert.equal(asked, 1, "the class is looked up once");
  assert.equal(timeline.past.length, 1);
  const [first, second] = timeline.now.objects;
  assert.deepEqual(first.step.points, [{ x: 6.5, y: 7, label: 1 }]);
  assert.equal(first.step.drawn, null);
  assert.equal(second.step.drawn.mask_token, "20-4");
});

test("classes are carried on from the nearest picture, first of those before, and tell each other apart", () => {
  const [far, near, open, after] = [
    picture("far", [kept("coin", mask(0, 0)), kept("ring", mask(9, 0))]),
    picture("near", [kept("coin", mask(1, 0)), kept("button", mask(9, 9))]),
    picture("open", []),
    picture("after", [kept("leaf", mask(5, 5)), kept("coin", mask(5, 15))]),
  ];
  const unknown = picture(null, [kept("key", mask(0, 0))]);
  const classes = ["coin", "key", "leaf", "ring", "none"].map((name) => ({ name, colour: "#000000" }));
  const wishes = carriedWishes([far, near, unknown, open, after], open, classes);
  const named = wishes.map(({ label, examples, others }) => [label, examples.map(({ image_id: id }) => id), others.map(({ image_id: id }) => id)]);
  assert.deepEqual(named, [
    ["coin", ["near"], ["after", "far"]],
    ["leaf", ["after"], ["near", "far"]],
    ["ring", ["far"], ["near", "after"]],
  ]);
});

test("only some classes and some examples are carried, the surest", () => {
  const objects = Array.from({ length: 9 }, (_, index) => kept("coin", { ...mask(index * 6, 0), score: index / 10 }));
  const drawn = kept("coin", { ...mask(0, 20), score: null });
  const more = Array.from({ length: 12 }, (_, index) => kept(`kind ${index}`, mask(0, 30)));
  const classes = ["coin", ...more.map(({ label }) => label)].map((name) => ({ name, colour: "#000000" }));
  const entries = [picture("before", [...objects, drawn, ...more]), picture("open", [])];
  const wishes = carriedWishes(entries, entries[1], classes);
  assert.equal(wishes.length, 8);
  assert.deepEqual(wishes[0].examples.map((one) => one.mask.score), [null, 0.8, 0.7, 0.6]);
});

test("each state of the search has plain words", () => {
  const run = { searches: [{ label: "coin" }], verdicts: NONE, candidates: [], least: 0.5, isAsking: true, error: null };
  assert.equal(textOf(run), "Looking for coin");
  assert.equal(textOf({ ...run, isAsking: false }), "Nothing like coin was found.");
  const late = [{ label: "coin", isCut: true }];
  assert.equal(textOf({ ...run, isAsking: false, searches: late }), "The search took too long. Try again.");
  const candidates = [candidate(0, 0.9), candidate(9, 0.8), candidate(18, 0.7, { label: "button" }), candidate(27, 0.4)];
  assert.equal(textOf({ ...run, candidates }), "2 like coin, 1 like button.");
  assert.equal(textOf({ ...run, candidates, least: Infinity, searches: late }), "None is lit. There may be more.");
  const gone = [{ label: "coin" }, { label: "ring", isGone: true }];
  const sentence = "The service no longer has the picture with the examples of ring.";
  assert.equal(textOf({ ...run, searches: gone }), sentence);
  assert.equal(textOf({ ...run, searches: gone, candidates }), `2 like coin, 1 like button. ${sentence}`);
  assert.equal(textOf({ ...run, error: new Problem("overloaded") }), "The service is busy right now.");
});

function maskOf({ step }) {
  return step.masks[0];
}
