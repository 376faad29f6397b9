/**
 * One prompt and its answer, as immutable data.
 *
 * Coordinates are pixels of the upright picture, x right, y down.
 *
 * @typedef {{x: number, y: number, label: 0|1}} Point 1 belongs to the object, 0 does not
 * @typedef {{score: number|null, area: number, bbox: number[], rle: {size: [number, number], counts: string},
 *   mask_token: string|null}} Mask as the service answers; one that was painted or imported has no score and no token
 * @typedef {{id: number, points: Point[], box: number[]|null, base: string|null, drawn: Mask|null,
 *   region: import("./region.js").Region|null, masks: Mask[]|null, chosen: number}} Step `base` is the token of the mask
 *   this step refines; `drawn` is that mask if it was painted or imported; `region` is the part of the picture that gave
 *   `base`, and after the answer `masks`; null for the whole picture
 */

import { holds } from "./region.js";

/** @type {Step} before the first click */
export const BLANK = Object.freeze({
  id: 0,
  points: Object.freeze([]),
  box: null,
  base: null,
  drawn: null,
  region: null,
  masks: null,
  chosen: 0,
});

/** True if the step has no points, no box and no drawn mask, so that there is nothing to ask. */
export function isBlank(step) {
  return step.points.length === 0 && step.box === null && !step.drawn;
}

/** The chosen mask of a step, or null before its answer. */
export function chosenMask(step) {
  return step.masks?.[step.chosen] ?? null;
}

/** True if the step says only what is not part of the object. It selects nothing, and there is nothing to ask. */
export function onlyExcludes(step) {
  return step.points.length > 0 && step.box === null && !step.drawn && step.points.every(({ label }) => label === 0);
}

/** True if a person painted or imported the chosen mask. Then no model is asked for it. */
export function isByHand(step) {
  return chosenMask(step)?.mask_token === null;
}

/**
 * Adds a point. It refines the chosen mask, if there is one. A mask of a region is not refined by a point outside: the
 * points alone describe the object then.
 *
 * A step that only excludes has no masks from the start. SAM would select what the points exclude.
 */
export function withPoint(step, point) {
  const refined = chosenMask(step);
  const region = step.region ?? null;
  const goesOn = region === null || holds(region, { points: [point], box: null });
  const base = goesOn ? (refined ? refined.mask_token : step.base) : null;
  const drawn = refined ? (isByHand(step) ? refined : null) : step.drawn;
  const points = [...step.points, point];
  const next = { ...BLANK, points, box: step.box, base, drawn, region: base === null ? null : region };
  return onlyExcludes(next) ? { ...next, masks: [] } : next;
}

/** Sets a box [x0, y0, x1, y1]. It describes the object anew, so no earlier mask is refined. */
export function withBox(step, box) {
  return { ...BLANK, points: step.points, box };
}

/** The fields that an answer adds to its step: the masks, and the index of the best score. */
export function answerFields(masks) {
  return { masks, chosen: bestOf(masks) };
}

/**
 * The fields that a finer answer changes in a step. If the person has chosen another mask than the best, the choice stays.
 * @param {Step} step with masks
 * @param {Mask[]} masks
 * @param {import("./region.js").Region} region that gave them
 */
export function finerFields(step, masks, region) {
  const isChoice = step.chosen !== bestOf(step.masks) && step.masks.length === masks.length;
  return { masks, chosen: isChoice ? step.chosen : bestOf(masks), base: null, region };
}

function bestOf(masks) {
  return masks.reduce((top, mask, index) => (mask.score > masks[top].score ? index : top), 0);
}

/**
 * The body of the request for one step.
 *
 * A first prompt is ambiguous, so it asks for SAM's three masks. A prompt that refines a mask asks for the single one,
 * as segment-anything's own examples do.
 * @param {Step} step
 * @param {import("./region.js").Region|null} region the part of the picture that is to answer; null for the whole
 * @param {boolean} multimask whether to ask for three masks
 */
export function requestFor(step, region = null, multimask = step.base === null && !step.drawn) {
  const prompt = {};
  if (step.points.length > 0) {
    prompt.points = step.points.map(({ x, y }) => [x, y]);
    prompt.labels = step.points.map(({ label }) => label);
  }
  if (step.box) prompt.box = step.box;
  if (step.base) prompt.mask_token = step.base;
  else if (step.drawn) prompt.mask = { rle: step.drawn.rle };
  return { prompts: [prompt], multimask, format: "rle", ...(region ? { region } : {}) };
}

/** The step of a hover at (x, y): the same as that of a click there. It never enters the timeline. */
export function hoverStep(x, y) {
  return withPoint(BLANK, { x, y, label: 1 });
}
