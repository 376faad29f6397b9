/** A quiet line that says which part of a large picture gave the mask, and whether a finer answer can be had. */

import { isByHand } from "./prompts.js";
import { ENCODER_SIDE } from "./region.js";

/**
 * @param {import("./prompts.js").Step} step the step whose masks are shown
 * @param {string} state that of the `Regions`
 * @param {{width: number, height: number}} size of the picture
 * @returns {string} empty for a picture that the encoder sees in full
 */
export function signFor(step, state, { width, height }) {
  if (Math.max(width, height) <= ENCODER_SIDE) return "";
  const hasMasks = step.masks?.length > 0 && !isByHand(step);
  const parts = [];
  if (hasMasks) parts.push(step.region ? "Mask from a part of the picture" : "Mask from the whole picture");
  if (state === "pending") parts.push("the visible part is being encoded");
  if (state === "finding" && hasMasks) parts.push("a finer one is on its way");
  if (state === "ready" && !(hasMasks && step.region)) parts.push("the visible part is ready");
  const text = parts.join(" · ");
  return text && text[0].toUpperCase() + text.slice(1);
}
