/**
 * Has every mask of a picture found, and follows the job of the service to its end.
 *
 * @typedef {object} Job the job as the service describes it
 * @property {string} job its name
 * @property {"queued"|"running"|"done"|"failed"|"stopped"} status
 * @property {number} progress 0-1
 * @property {number} found the number of masks, or of those so far
 * @property {number|null} queue_position
 * @property {number|null} workers mask workers that are alive; null if the job waits for none
 * @property {{code: string, detail: string}|null} error
 * @property {{rle: {size: [number, number], counts: string}, area: number, bbox: number[], predicted_iou: number}[]} [masks]
 *
 * @typedef {{ask: Function, get: Function, states: Function, pause: (seconds: number, signal: AbortSignal) => Promise<void>,
 *   now?: () => number}} Service the calls of `everything-api.js`
 */

import { patiently } from "./patience.js";
import { Problem } from "./problems.js";

/** What the page looks for. The fast way finds nine masks of ten in two fifths of the time. */
export const OPTIONS = Object.freeze({ mode: "fast" });

/** Milliseconds between two looks at the masks so far. The service renews them about once a second. */
const LEAST_GAP = 1000;
/** A look that took long is followed by a pause of so many times as long, so that large answers do not fill the line. */
const GAP_SHARE = 2;

export function isSettled({ status }) {
  return status === "done" || status === "failed" || status === "stopped";
}

/**
 * Asks for the job and follows it, by server-sent events, or by polling if they break off.
 * @param {Service} service
 * @param {import("./decoding.js").Image} image
 * @param {{signal: AbortSignal, onJob: (job: Job) => void, onMasks: (job: Job) => void}} options `onJob` is called at each
 *   change, `onMasks` with the masks so far, and with all of them at the end
 * @returns {Promise<Job>} the job at its end: it is done, or was stopped elsewhere
 * @throws {Problem} that of the job, if it failed, or that of a request
 */
export async function findEverything(service, image, { signal, onJob, onMasks }) {
  const { pause, now = () => performance.now() } = service;
  const asked = await patiently(() => service.ask(image, OPTIONS, { signal }), { pause, signal });
  onJob(asked);
  if (isSettled(asked)) return ended(asked, onMasks);
  let seen = 0;
  let next = 0;
  const look = async () => {
    const start = now();
    const job = await patiently(() => service.get(image, asked.job, { signal }), { pause, signal });
    next = now() + Math.max(LEAST_GAP, GAP_SHARE * (now() - start));
    seen = job.found;
    onJob(job);
    if (!isSettled(job)) onMasks(job);
    return job;
  };
  try {
    for await (const job of service.states(image, asked.job, { signal })) {
      // At the end the state and the masks are shown together.
      if (isSettled(job)) break;
      onJob(job);
      if (job.found !== seen && now() >= next) await look();
    }
  } catch (error) {
    if (signal.aborted || error.code === "job-not-found" || error.code === "image-not-found") throw error;
  }
  for (;;) {
    signal.throwIfAborted();
    const job = await look();
    if (isSettled(job)) return ended(job, onMasks);
    await pause(Math.max(0, next - now()) / 1000, signal);
  }
}

function ended(job, onMasks) {
  if (job.status === "failed") throw new Problem(job.error?.code ?? "everything-failed", { detail: job.error?.detail ?? "" });
  if (job.status === "done") onMasks(job);
  return job;
}
