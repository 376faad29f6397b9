import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Problem } from "../../prompt_api/web/problems.js";
import { answerCalls } from "../../prompt_api/web/worker-answers.js";
import { WorkerCalls } from "../../prompt_api/web/worker-calls.js";

/** One side of a worker: what is posted here arrives at the other side. */
class Side extends EventTarget {
  other = null;
  ended = false;

  postMessage(data) {
    const { other } = this;
    const copy = structuredClone(data);
    setImmediate(() => this.ended || other.ended || other.dispatchEvent(new MessageEvent("message", { data: copy })));
  }

  terminate() {
    this.ended = true;
  }
}

let worker;
let calls;
const steps = [];

beforeEach(() => {
  steps.length = 0;
  worker = new Side();
  globalThis.self = new Side();
  worker.other = globalThis.self;
  globalThis.self.other = worker;
  answerCalls(
    {
      add: async (a, b) => {
        steps.push("start");
        await null;
        steps.push("end");
        return a + b;
      },
      refuse: () => {
        throw new Problem("too-much", { status: 413, detail: "at most 3" });
      },
      fail: () => {
        throw new RangeError("not a number");
      },
      hang: () => new Promise(() => {}),
    },
    "worker-failed",
  );
  calls = new WorkerCalls(worker, "worker-ended");
});

afterEach(() => {
  delete globalThis.self;
});

test("calls are answered, one after the other", async () => {
  assert.deepEqual(await Promise.all([calls.ask("add", [1, 2]), calls.ask("add", [3, 4])]), [3, 7]);
  assert.deepEqual(steps, ["start", "end", "start", "end"]);
});

test("a problem in the worker is the same problem on the page", async () => {
  await assert.rejects(calls.ask("refuse", []), (error) => {
    assert.ok(error instanceof Problem);
    assert.deepEqual([error.code, error.status, error.detail], ["too-much", 413, "at most 3"]);
    return true;
  });
});

test("any other failure in the worker is a problem with the worker's code", async () => {
  await assert.rejects(calls.ask("fail", []), { code: "worker-failed", detail: "RangeError: not a number" });
  await assert.rejects(calls.ask("unknown", []), { code: "worker-failed" });
  assert.equal(await calls.ask("add", [1, 1]), 2);
});

test("an end rejects what waits and what is asked later", async () => {
  const waits = calls.ask("hang", []);
  calls.end("it is over");
  await assert.rejects(waits, { code: "worker-ended", detail: "it is over" });
  await assert.rejects(calls.ask("add", [1, 2]), { code: "worker-ended" });
  assert.ok(worker.ended);
});

test("a worker that cannot be started rejects what waits", async () => {
  const waits = calls.ask("hang", []);
  worker.dispatchEvent(Object.assign(new Event("error", { cancelable: true }), { message: "no such file" }));
  await assert.rejects(waits, { code: "worker-ended", detail: "no such file" });
});
