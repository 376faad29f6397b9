/** The page's messages: alerts to act on, sentences for screen readers, and the progress of an encoding. */

import { changeToken } from "./credentials.js";
import { canHelpAgain, sentenceFor, wantsToken } from "./problems.js";

const find = (id) => document.getElementById(id);

/**
 * Shows a message to act on.
 * @param {unknown} error
 * @param {(() => void)|null} again adds a button that calls it, if that can help: after another token was given, where
 *   the service refused this one
 */
export function showAlert(error, again = null) {
  find("alert").hidden = false;
  find("alert-text").textContent = sentenceFor(error);
  find("alert-act").hidden = true;
  if (!again) return;
  if (wantsToken(error)) offer("Change the token", async () => (await changeToken()) && again());
  else if (canHelpAgain(error)) offer("Try again", again);
}

/** Adds a button to the message that is shown. It hides the message and calls `act`. */
export function offer(label, act) {
  const button = find("alert-act");
  button.hidden = false;
  button.textContent = label;
  button.onclick = () => {
    hideAlert();
    act();
  };
}

export function hideAlert() {
  find("alert").hidden = true;
}

/** Gives a screen reader a sentence to say after the present one. */
export function announce(sentence) {
  setText("announce", sentence);
}

/** Shows what happens before the next answer. Null hides it when all is done. */
export function showProgress(progress) {
  find("progress").hidden = progress === null;
  if (progress === null) return;
  const { text, note, share } = wordsFor(progress);
  setText("progress-text", text);
  setText("progress-note", note);
  const bar = find("progress-bar");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

/**
 * Returns a progress step in words, and the share of it that is done (0-1; null if not known).
 * @param {import("./encoding.js").Progress} progress
 */
export function wordsFor(progress) {
  switch (progress.step) {
    case "waiting":
      return { text: "Waiting for the pictures before it", note: "", share: null };
    case "reading":
      return { text: "Opening the picture", note: "", share: null };
    case "uploading":
      return progress.share < 1
        ? { text: "Uploading", note: `${Math.floor(progress.share * 100)} %`, share: progress.share }
        : { text: "Checking the picture", note: "", share: null };
    case "queued":
      return { text: "Waiting for its turn", note: aheadText(progress.position), share: null };
    case "without-worker":
      return {
        text: "Waiting for a worker to be started",
        note: `No worker of ${progress.model} is running. New pictures wait.`,
        share: null,
      };
    case "encoding":
      return { text: "Encoding", note: "only once for each picture", share: null };
    case "preparing":
      return { text: "Preparing to decode in this browser", note: `${Math.floor(progress.share * 100)} %`, share: progress.share };
    default:
      return { text: sentenceFor(progress.error), note: `Trying again in ${Math.ceil(progress.seconds)} s.`, share: null };
  }
}

/** @param {number|null} ahead encodings before this one; null if not known */
function aheadText(ahead) {
  if (ahead === null) return "";
  return ahead === 0 ? "next in the queue" : `${ahead} ahead of it`;
}

/** Changes a text only if it differs, so that nothing is laid out or read aloud twice. */
export function setText(id, text) {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text;
}
