/**
 * Answers the calls that a page makes of a worker with `WorkerCalls`.
 *
 * In: {id, call, given}. Out: {id, value} or {id, problem: {code, status, detail}}.
 */

import { Problem } from "./problems.js";

/**
 * Runs one call after the other and answers each once.
 * @param {Record<string, (...given: unknown[]) => unknown>} calls by name
 * @param {string} code of the problem if a call throws anything but a `Problem`
 */
export function answerCalls(calls, code) {
  let last = Promise.resolve();
  self.addEventListener("message", ({ data }) => {
    last = last.then(() => answer(calls, code, data));
  });
}

async function answer(calls, code, { id, call, given }) {
  try {
    self.postMessage({ id, value: await calls[call](...given) });
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(code, { detail: String(error) });
    self.postMessage({ id, problem: { code: problem.code, status: problem.status, detail: problem.detail } });
  }
}
