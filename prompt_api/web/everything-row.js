/** The row below the picture that shows how far the search for every mask is, and the button that starts it. */

import { isSettled } from "./everything-job.js";
import { setText } from "./notices.js";
import { showOfferRow } from "./offer-row.js";
import { sentenceFor } from "./problems.js";

/**
 * @param {{job: import("./everything-job.js").Job|null, error: Error|null, masks: Map,
 *   offer: import("./offer.js").Offer}|null} run null hides the row
 * @param {object|null} image null if nothing can be searched, because no picture is encoded
 */
export function showEverything(run, image = null) {
  const state = run && { ...wordsOf(run), count: run.offer.masks.length, canKeep: run.offer.pointed !== null };
  showOfferRow("everything", state, image !== null);
  if (state) setText("everything-close", state.share === undefined ? "Close" : "Stop");
}

/**
 * The state of the search in words, and the share that is done: null if it is not known, undefined if the search has ended.
 * @returns {{text: string, share: number|null|undefined}}
 */
export function wordsOf({ job, error, masks, offer }) {
  if (error) return { text: sentenceFor(error), share: undefined };
  if (job === null) return { text: "Asking for every mask", share: null };
  if (job.status === "queued" && job.workers === 0) {
    return { text: "No mask worker is running. The search waits for one.", share: null };
  }
  if (job.status === "queued") {
    const ahead = job.queue_position ?? 0;
    return { text: ahead > 0 ? `Waiting for its turn, ${ahead} ahead of it` : "Waiting for its turn", share: null };
  }
  if (!isSettled(job)) return { text: `${plural(job.found)} so far`, share: job.progress };
  if (masks.size === 0) return { text: "No mask was found.", share: undefined };
  const more = job.found > masks.size ? ` The best ${masks.size} are shown.` : "";
  return { text: `${plural(offer.masks.length)} to keep.${more}`, share: undefined };
}

function plural(count) {
  return count === 1 ? "1 mask" : `${count} masks`;
}
