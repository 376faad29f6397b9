/** What the page tells in words: a message to act on, a sentence for screen readers, how far an encoding is. */

import { sentenceFor } from "./problems.js";

const find = (id) => document.getElementById(id);

/** A message to act on; `retry` adds a button. */
export function showAlert(error, retry = null) {
  find("alert").hidden = false;
  find("alert-text").textContent = sentenceFor(error);
  find("alert-retry").hidden = retry === null;
  find("alert-retry").onclick = () => {
    hideAlert();
    retry();
  };
}

export function hideAlert() {
  find("alert").hidden = true;
}

/** Says a sentence to a screen reader, after what it is saying now. */
export function announce(sentence) {
  setText("announce", sentence);
}

/** What is going on before the next answer; null when all is done. */
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
 * A step of the way in words, and how much of it is done (0-1, null: not known).
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
    case "encoding":
      return { text: "Encoding", note: "only this once", share: null };
    case "preparing":
      return { text: "Getting ready to decode here", note: `${Math.floor(progress.share * 100)} %`, share: progress.share };
    default:
      return { text: sentenceFor(progress.error), note: `Trying again in ${Math.ceil(progress.seconds)} s.`, share: null };
  }
}

/** @param {number|null} ahead encodings before this one; null: not known */
function aheadText(ahead) {
  if (ahead === null) return "";
  return ahead === 0 ? "next in the queue" : `${ahead} ahead of it`;
}

/** Changes a text only if it differs, so that nothing is laid out or read out twice. */
export function setText(id, text) {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text;
}
