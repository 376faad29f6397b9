import assert from "node:assert/strict";
import { test } from "node:test";

import { LatestOnly } from "../../prompt_api/web/latest.js";

/** A queue whose jobs end when the test says so. */
function controlled() {
  const started = [];
  const ends = [];
  const queue = new LatestOnly((job) => {
    started.push(job);
    return new Promise((resolve) => ends.push(resolve));
  });
  const endOne = async () => {
    ends.shift()();
    await new Promise(setImmediate);
  };
  return { queue, started, endOne };
}

test("a job runs at once when nothing runs", () => {
  const { queue, started } = controlled();
  queue.submit("a");
  assert.deepEqual(started, ["a"]);
});

test("of the jobs submitted meanwhile only the latest runs, and never at the same time as another", async () => {
  const { queue, started, endOne } = controlled();
  for (const job of ["a", "b", "c", "d"]) queue.submit(job);
  assert.deepEqual(started, ["a"]);
  assert.ok(queue.superseded);
  await endOne();
  assert.deepEqual(started, ["a", "d"]);
  assert.ok(!queue.superseded);
});

test("a forgotten job does not run", async () => {
  const { queue, started, endOne } = controlled();
  queue.submit("a");
  queue.submit("b");
  queue.forget();
  await endOne();
  assert.deepEqual(started, ["a"]);
});

test("a queue runs again after it was idle", async () => {
  const { queue, started, endOne } = controlled();
  queue.submit("a");
  await endOne();
  queue.submit("b");
  assert.deepEqual(started, ["a", "b"]);
});
