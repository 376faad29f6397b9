/** Turns calls of a worker into promises, and ends the worker. */

import { Problem } from "./problems.js";

export class WorkerCalls {
  #worker;
  #code;
  #waiting = new Map();
  #asked = 0;

  /**
   * @param {Worker} worker it answers with `answerCalls`
   * @param {string} code of the problem if the worker ends
   */
  constructor(worker, code) {
    this.#worker = worker;
    this.#code = code;
    this.#worker.addEventListener("message", ({ data: { id, value, problem } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (problem) reject(new Problem(problem.code, problem));
      else resolve(value);
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.end(event.message || "the worker could not be started");
    });
  }

  /**
   * @param {string} call the name of one of its calls
   * @param {unknown[]} given its arguments
   * @param {Transferable[]} [transfer] arguments that are moved and not copied
   */
  ask(call, given, transfer = []) {
    return new Promise((resolve, reject) => {
      if (!this.#worker) throw this.#closed("the worker has ended");
      const id = this.#asked++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, given }, transfer);
    });
  }

  /** Ends the worker and frees its memory. Calls that wait are rejected. */
  end(reason) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(this.#closed(reason));
    this.#waiting.clear();
  }

  #closed(detail) {
    return new Problem(this.#code, { detail });
  }
}
