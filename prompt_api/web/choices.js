/** Offers the masks of a step to choose from, as pictures and in words. */

import { chosenMask, onlyExcludes } from "./prompts.js";

const THUMBNAIL = { width: 176, height: 132 };

let drawn = null;

/**
 * @param {import("./prompts.js").Step} step the step whose masks are shown
 * @param {boolean} busy true if a newer step is not answered yet
 * @param {import("./stage.js").Stage} stage
 * @param {(index: number) => void} onChoose
 */
export function showChoices(step, busy, stage, onChoose) {
  const list = document.getElementById("choices");
  list.setAttribute("aria-busy", String(busy));
  const isFocused = list.contains(document.activeElement);
  if (step.masks !== drawn) {
    drawn = step.masks;
    const window = step.masks ? around(step.masks, stage.size) : null;
    list.replaceChildren(...(step.masks ?? []).map((mask, index) => choice(mask, index, window, stage, onChoose)));
  }
  const radio = list.querySelectorAll("input")[step.chosen];
  if (!radio) return;
  radio.checked = true;
  if (isFocused) radio.focus({ preventScroll: true });
}

/** The result of a step as a sentence for a screen reader, or null before its answer. */
export function sentenceOf(step, size) {
  if (onlyExcludes(step)) return "Nothing is selected.";
  const mask = chosenMask(step);
  if (!mask) return null;
  const more = step.masks.length > 1 ? `${step.masks.length} masks. ` : "";
  return `${more}${describe(mask, step.chosen, size)}.`;
}

/** The share of the picture that a mask covers, such as "12 %". */
export function shareOf(mask, { width, height }) {
  const percent = (mask.area / (width * height)) * 100;
  return percent < 1 ? "less than 1 %" : `${Math.round(percent)} %`;
}

function choice(mask, index, window, stage, onChoose) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "mask", value: String(index) });
  radio.setAttribute("aria-label", describe(mask, index, stage.size));
  radio.addEventListener("change", () => onChoose(index));
  const canvas = Object.assign(document.createElement("canvas"), THUMBNAIL);
  stage.thumbnail(canvas, mask, window);
  const score = Object.assign(document.createElement("span"), { textContent: scoreOf(mask) });
  label.append(radio, canvas, score);
  label.title = describe(mask, index, stage.size);
  return label;
}

function describe(mask, index, size) {
  return `Mask ${index + 1}, ${scoreOf(mask)}, ${shareOf(mask, size)} of the picture`;
}

/** A mask that was painted or imported has no score. */
function scoreOf({ score }) {
  return score === null ? "no score" : `score ${score.toFixed(2)}`;
}

/** The 4:3 part of the picture that shows all masks with some room around them. */
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
  // A mask that is wider or taller than any 4:3 window in the picture is cut off at its ends, not squeezed.
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
