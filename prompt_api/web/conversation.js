/** Sends prompts to the decoder, one at a time; only the latest one waits. Handles each kind of failure. */

import { LONGEST_PAUSE, pause } from "./api.js";
import { LatestOnly } from "./latest.js";
import { isForgotten, isTemporary } from "./problems.js";
import { requestFor } from "./prompts.js";
import { amend } from "./timeline.js";

const TRIES = 6;
const RECOVERIES = 3;

/**
 * @typedef {import("./gallery.js").Entry} Entry
 * @typedef {{entry: Entry, step: import("./prompts.js").Step, isHover: boolean, since: number}} Job `since`: when the
   person acted, on the clock of performance.now()
 * @typedef {object} Listener
 * @property {(job: Job, answer: import("./decoding.js").Answer) => void} onAnswer
 * @property {(entry: Entry, error: Error) => void} onProblem
 * @property {(progress: object|null) => void} onProgress
 * @property {(entry: Entry) => void} encodeAgain must not throw
 * @property {(error: Error) => void} onLocalFailure must set `decoder`
 * @property {(entry: Entry) => boolean} isCurrent
 */

export class Conversation {
  /** @type {import("./decoding.js").Decoder} */
  decoder;
  #listener;
  #queue = new LatestOnly((job) => this.#ask(job));
  #noHoverBefore = 0;

  /** @param {import("./decoding.js").Decoder} decoder @param {Listener} listener */
  constructor(decoder, listener) {
    this.decoder = decoder;
    this.#listener = listener;
  }

  /** @param {Job} job */
  submit(job) {
    if (!job.isHover || performance.now() >= this.#noHoverBefore) this.#queue.submit(job);
  }

  /** Forgets the job that waits. The running job ends by itself. */
  forget() {
    this.#queue.forget();
  }

  /** Never throws: it handles or reports each failure. */
  async #ask(job) {
    const { entry } = job;
    const { signal } = entry.controller;
    let { step } = job;
    for (let attempt = 1; entry.image && this.#listener.isCurrent(entry); attempt++) {
      const { decoder } = this;
      let answer;
      try {
        answer = await this.#answer(decoder, entry, step, job.isHover, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "local-decoding") {
          // A decoder that was switched off meanwhile has not failed.
          if (decoder === this.decoder) this.#listener.onLocalFailure(error);
          if (this.#queue.superseded) return;
        } else if (job.isHover) {
          this.#noHoverBefore = performance.now() + Math.max(1, error.retryAfter ?? 1) * 1000;
          return;
        } else if (attempt < TRIES && step.base && error.code === "invalid-prompt") {
          // The decoder has forgotten the mask that this step refines. The points alone still describe the object.
          entry.timeline = amend(entry.timeline, step.id, { base: null });
          step = { ...step, base: null };
        } else if (entry.recoveries < RECOVERIES && (isForgotten(error) || error.code === "embedding-pending")) {
          entry.recoveries++;
          // Not awaited: the person can prompt other pictures. This prompt is sent again when the picture is ready.
          this.#listener.encodeAgain(entry);
          return;
        } else if (attempt < TRIES && isTemporary(error)) {
          await this.#backOff(error, attempt, signal);
          if (this.#queue.superseded) return;
        } else {
          this.#listener.onProblem(entry, error);
          return;
        }
        continue;
      }
      if (!signal.aborted) this.#tell(job, answer);
      return;
    }
  }

  /** What the listener throws is a fault of the page. It must not pass for a preview that the service refused. */
  #tell(job, answer) {
    job.entry.recoveries = 0;
    try {
      this.#listener.onAnswer(job, answer);
    } catch (error) {
      console.error(error);
      this.#listener.onProblem(job.entry, error);
    }
  }

  /** Returns the preview's answer without a request if the hover already asked for the same. */
  async #answer(decoder, entry, step, isHover, signal) {
    const request = requestFor(step);
    const key = JSON.stringify(request);
    if (entry.preview?.key === key) return entry.preview.answer;
    const answer = await decoder.masks(entry.image, request, { signal });
    if (isHover) entry.preview = { key, answer };
    return answer;
  }

  async #backOff(error, attempt, signal) {
    const seconds = Math.min(error.retryAfter ?? attempt, LONGEST_PAUSE);
    this.#listener.onProgress({ step: "backing-off", error, seconds });
    await pause(seconds, signal).catch(() => {});
    this.#listener.onProgress(null);
  }
}
