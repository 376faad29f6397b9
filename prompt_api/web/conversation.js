/** Sends prompts to the decoder, one at a time; only the latest one waits. Handles each kind of failure. */

import { LONGEST_PAUSE, pause } from "./api.js";
import { LatestOnly } from "./latest.js";
import { isForgotten, isTemporary } from "./problems.js";
import { answerFields, requestFor } from "./prompts.js";
import { isCut } from "./region.js";
import { amend } from "./timeline.js";

const TRIES = 6;
const RECOVERIES = 3;

/**
 * @typedef {import("./gallery.js").Entry} Entry
 * @typedef {import("./region.js").Region} Region
 * @typedef {{entry: Entry, step: import("./prompts.js").Step, isHover: boolean, since: number, finer?: Region}} Job
 *   `since`: when the person acted, on the clock of performance.now(); `finer`: the region that is to answer again a step
 *   that has masks
 * @typedef {object} Listener
 * @property {(job: Job, answer: import("./decoding.js").Answer) => void} onAnswer
 * @property {(entry: Entry, error: Error) => void} onProblem
 * @property {(progress: object|null) => void} onProgress
 * @property {(entry: Entry) => void} encodeAgain must not throw
 * @property {(error: Error) => void} onLocalFailure must set `decoder`
 * @property {(entry: Entry) => boolean} isCurrent
 * @property {(entry: Entry, step: import("./prompts.js").Step) => Region|null} regionFor the region that can answer a
 *   step now; null for the whole picture
 * @property {(entry: Entry, region: Region) => void} onRegionLost called if a region cannot answer after all
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
    const { entry, finer } = job;
    const { signal } = entry.controller;
    let { step } = job;
    let mayUseRegion = true;
    let unfit = null;
    for (let attempt = 1; entry.image && this.#listener.isCurrent(entry); attempt++) {
      const { decoder } = this;
      const region = mayUseRegion ? this.#regionOf(job, step) : null;
      let answer;
      try {
        answer = await this.#answer(decoder, job, step, region, unfit);
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "local-decoding") {
          // A decoder that was switched off meanwhile has not failed.
          if (decoder === this.decoder) this.#listener.onLocalFailure(error);
          if (this.#queue.superseded) return;
        } else if (attempt < TRIES && step.base && !finer && error.code === "invalid-prompt") {
          // The decoder has forgotten the mask that this step refines. The points alone still describe the object.
          step = withoutBase(entry, step);
        } else if (region) {
          this.#listener.onRegionLost(entry, region);
          if (finer) return;
          // The whole picture answers, as if the region had never been encoded.
          mayUseRegion = false;
          step = withoutBase(entry, step);
        } else if (job.isHover) {
          this.#noHoverBefore = performance.now() + Math.max(1, error.retryAfter ?? 1) * 1000;
          return;
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
      if (signal.aborted) return;
      if (answer.region && isUnfit(answer, entry.size)) {
        if (finer) return;
        // The object goes on outside the region, so only the whole picture shows where it ends.
        unfit = region;
        mayUseRegion = false;
        step = withoutBase(entry, step);
        continue;
      }
      this.#tell(job, answer);
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

  /** A mask that is refined stays in its region, because its token belongs to that. */
  #regionOf({ entry, finer = null }, step) {
    if (finer) return finer;
    return step.base ? (step.region ?? null) : this.#listener.regionFor(entry, step);
  }

  /**
   * Returns the preview's answer without a request if the hover already asked for the same.
   *
   * `region` of the answer is the region that gave it, or null. `unfit` is the region that could not give it, because the
   * object goes on outside.
   */
  async #answer(decoder, { entry, isHover, finer }, step, region, unfit) {
    const { signal } = entry.controller;
    const request = finer ? requestFor({ ...step, base: null }, region, step.masks.length > 1) : requestFor(step, region);
    const key = JSON.stringify(request);
    if (entry.preview?.keys.includes(key)) return entry.preview.answer;
    const answer = { ...(await decoder.masks(entry.image, request, { signal })), region, unfit };
    // The click on this place asks the region first, as the hover did.
    if (isHover) entry.preview = { keys: unfit ? [key, JSON.stringify(requestFor(step, unfit))] : [key], answer };
    return answer;
  }

  async #backOff(error, attempt, signal) {
    const seconds = Math.min(error.retryAfter ?? attempt, LONGEST_PAUSE);
    this.#listener.onProgress({ step: "backing-off", error, seconds });
    await pause(seconds, signal).catch(() => {});
    this.#listener.onProgress(null);
  }
}

function isUnfit({ results: [{ masks }], region }, size) {
  return isCut(region, masks[answerFields(masks).chosen].bbox, size);
}

/** The step without the mask that it refines, also in the timeline. */
function withoutBase(entry, step) {
  if (!step.base) return step;
  entry.timeline = amend(entry.timeline, step.id, { base: null, region: null });
  return { ...step, base: null, region: null };
}
