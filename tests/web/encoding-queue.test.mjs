import assert from "node:assert/strict";
import { test } from "node:test";

import { EncodingQueue } from "../../prompt_api/web/encoding-queue.js";

function started() {
  const running = new Map();
  const names = [];
  const queue = new EncodingQueue((name) => {
    names.push(name);
    return new Promise((finish) => running.set(name, finish));
  });
  return { queue, names, finish: async (name) => (running.get(name)(), await new Promise(setImmediate)) };
}

test("two pictures are encoded at once, and the next one starts as soon as one is done", async () => {
  const { queue, names, finish } = started();
  for (const name of ["a", "b", "c", "d"]) queue.add(name);
  assert.deepEqual(names, ["a", "b"]);
  await finish("b");
  assert.deepEqual(names, ["a", "b", "c"]);
});

test("the picture that a person looks at does not wait", async () => {
  const { queue, names, finish } = started();
  for (const name of ["a", "b", "c", "d"]) queue.add(name);
  queue.hurry("d");
  assert.deepEqual(names, ["a", "b", "d"]);
  queue.hurry("a");
  await finish("a");
  assert.deepEqual(names, ["a", "b", "d"]);
  await finish("b");
  assert.deepEqual(names, ["a", "b", "d", "c"]);
});

test("a picture that was closed is not encoded", async () => {
  const { queue, names, finish } = started();
  for (const name of ["a", "b", "c"]) queue.add(name);
  queue.drop("c");
  await finish("a");
  assert.deepEqual(names, ["a", "b"]);
});

test("pictures that a person has passed are not encoded", async () => {
  const { queue, names, finish } = started();
  for (const name of ["a", "b", "c", "d", "e"]) queue.add(name);
  assert.deepEqual(queue.keepOnly(["d"]), ["c", "e"]);
  await finish("a");
  assert.deepEqual(names, ["a", "b", "d"]);
});
