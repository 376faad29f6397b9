/** The words and controls around the picture: progress, masks to choose from, buttons, times, messages. */

import { sentenceFor } from "./problems.js";
import { chosenMask, isBlank } from "./prompts.js";

const THUMBNAIL = { width: 176, height: 132 };

const find = (id) => document.getElementById(id);

/** Shows the picture's desk instead of the welcome. */
export function showDesk() {
  find("welcome").hidden = true;
  find("desk").hidden = false;
  find("another").hidden = false;
}

/** What is going on before the first prompt can be answered; null when all is done. */
export function showProgress(progress) {
  find("progress").hidden = progress === null;
  if (progress === null) return;
  const [text, note] = progressText(progress);
  setText("progress-text", text);
  setText("progress-note", note);
  const bar = find("progress-bar");
  if (progress.step === "uploading" && progress.share < 1) bar.value = progress.share;
  else bar.removeAttribute("value");
}

function progressText(progress) {
  switch (progress.step) {
    case "reading":
      return ["Opening the picture", ""];
    case "uploading":
      return progress.share < 1 ? ["Uploading", `${Math.floor(progress.share * 100)} %`] : ["Checking the picture", ""];
    case "queued":
      return ["Waiting for its turn", aheadText(progress.position)];
    case "encoding":
      return ["Encoding", "only this once"];
    default:
      return [sentenceFor(progress.error), `Trying again in ${Math.ceil(progress.seconds)} s.`];
  }
}

/** @param {number|null} ahead encodings before this one; null: not known */
function aheadText(ahead) {
  if (ahead === null) return "";
  return ahead === 0 ? "next in the queue" : `${ahead} ahead of it`;
}

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

/** The picture's file name, some facts about it, and where its embedding came from. */
export function showAbout(name, facts, origin = "") {
  setText("name", name);
  setText("about", facts.join(" · "));
  setText("origin", origin);
}

/** How long the last prompt took, in milliseconds; null clears it. */
export function showLatency(times) {
  if (times === null) return setText("latency", "");
  const server = times.serverMilliseconds;
  const inside = server === null ? "" : ` · service ${round(server)} ms`;
  setText("latency", `Last prompt ${round(times.milliseconds)} ms${inside}`);
}

/**
 * The masks of the current step and the state of the buttons.
 * @param {{step: import("./prompts.js").Step, shown: import("./prompts.js").Step, canUndo: boolean,
 *   ready: boolean}} state `shown` is the step whose masks are to be seen, `step` the current one
 * @param {import("./stage.js").Stage} stage
 * @param {(index: number) => void} onChoose
 */
export function showStep({ step, shown, canUndo, ready }, stage, onChoose) {
  find("undo").disabled = !canUndo;
  find("clear").disabled = isBlank(step);
  setText("hint", hintFor(step, ready));
  showChoices(shown, stage, onChoose);
  find("choices").setAttribute("aria-busy", String(shown.id !== step.id));
}

function hintFor(step, ready) {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (isBlank(step)) {
    return touch ? "Tap on something in the picture." : "Click on something in the picture, or drag a box around it.";
  }
  if (!ready) return "The answer comes as soon as the picture is encoded.";
  return touch
    ? "Tap what is missing. With Remove, tap what is too much."
    : "Click what is missing, right-click what is too much.";
}

let drawn = null;

function showChoices(step, stage, onChoose) {
  const list = find("choices");
  if (step.masks !== drawn) {
    drawn = step.masks;
    const window = step.masks ? around(step.masks, stage.size) : null;
    list.replaceChildren(...(step.masks ?? []).map((mask, index) => choice(mask, index, window, stage, onChoose)));
  }
  const radio = list.querySelectorAll("input")[step.chosen];
  if (radio) radio.checked = true;
}

function choice(mask, index, window, stage, onChoose) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "mask", value: String(index) });
  radio.setAttribute("aria-label", describe(mask, index, stage.size));
  radio.addEventListener("change", () => onChoose(index));
  const canvas = Object.assign(document.createElement("canvas"), THUMBNAIL);
  stage.thumbnail(canvas, mask, window);
  const score = Object.assign(document.createElement("span"), { textContent: `score ${mask.score.toFixed(2)}` });
  label.append(radio, canvas, score);
  label.title = describe(mask, index, stage.size);
  return label;
}

function describe(mask, index, size) {
  return `Mask ${index + 1}, score ${mask.score.toFixed(2)}, ${share(mask, size)} of the picture`;
}

/** Says the outcome of the current step to a screen reader. */
export function announce(step, size) {
  const mask = chosenMask(step);
  if (!mask) return;
  const more = step.masks.length > 1 ? `${step.masks.length} masks. ` : "";
  setText("announce", `${more}${describe(mask, step.chosen, size)}.`);
}

function share(mask, { width, height }) {
  const percent = (mask.area / (width * height)) * 100;
  return percent < 1 ? "less than 1 %" : `${Math.round(percent)} %`;
}

/** The window of the picture, 4:3 where it fits, that shows all masks with some room around them. */
function around(masks, { width, height }) {
  const boxes = masks.map((mask) => mask.bbox).filter(([, , w, h]) => w > 0 && h > 0);
  if (boxes.length === 0) boxes.push([0, 0, width, height]);
  const left = Math.min(...boxes.map(([x]) => x));
  const top = Math.min(...boxes.map(([, y]) => y));
  const right = Math.max(...boxes.map(([x, , w]) => x + w));
  const bottom = Math.max(...boxes.map(([, y, , h]) => y + h));
  const ratio = THUMBNAIL.width / THUMBNAIL.height;
  let w = Math.max((right - left) * 1.2, (bottom - top) * 1.2 * ratio, 24);
  const most = Math.min(width, height * ratio);
  // A mask wider or taller than any 4:3 window inside the picture is cut at its ends rather than squeezed.
  w = Math.min(w, most);
  const h = w / ratio;
  const clamp = (value, limit) => Math.min(Math.max(value, 0), limit);
  return {
    x: clamp((left + right - w) / 2, width - w),
    y: clamp((top + bottom - h) / 2, height - h),
    width: w,
    height: h,
  };
}

function setText(id, text) {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text;
}

function round(milliseconds) {
  return milliseconds < 10 ? milliseconds.toFixed(1) : String(Math.round(milliseconds));
}
