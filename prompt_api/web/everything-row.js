/** The row over the picture that shows how far the search for every mask is, and the button that starts it. */

import { isSettled } from "./everything-job.js";
import { setText } from "./notices.js";
import { sentenceFor } from "./problems.js";

const find = (id) => document.getElementById(id);

/**
 * @param {{job: import("./everything-job.js").Job|null, error: Error|null, masks: Map, left: object[],
 *   pointed: object|null}|null} run null hides the row
 * @param {object|null} image null if nothing can be searched, because no picture is encoded
 */
export function showEverything(run, image = null) {
  const [button, row] = [find("everything"), find("everything-row")];
  button.setAttribute("aria-pressed", String(run !== null));
  const isOff = run === null && image === null;
  // The keyboard goes on from where it was, although that is hidden or disabled now.
  if (run === null && row.contains(document.activeElement)) find(isOff ? "stage" : "everything").focus({ preventScroll: true });
  if (isOff && document.activeElement === button) find("stage").focus({ preventScroll: true });
  button.disabled = isOff;
  row.hidden = run === null;
  if (run === null) return;
  const { text, share } = wordsOf(run);
  setText("everything-text", text);
  const bar = find("everything-bar");
  bar.hidden = share === undefined;
  if (share === null) bar.removeAttribute("value");
  else if (share !== undefined) bar.value = share;
  const isEmpty = run.left.length === 0;
  for (const id of ["everything-previous", "everything-next"]) find(id).hidden = isEmpty;
  find("everything-keep").hidden = isEmpty;
  find("everything-keep").disabled = run.pointed === null;
  setText("everything-close", share === undefined ? "Close" : "Stop");
}

/**
 * The state of the search in words, and the share that is done: null if it is not known, undefined if the search has ended.
 * @returns {{text: string, share: number|null|undefined}}
 */
export function wordsOf({ job, error, masks, left }) {
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
  return { text: `${plural(left.length)} to keep.${more}`, share: undefined };
}

function plural(count) {
  return count === 1 ? "1 mask" : `${count} masks`;
}
