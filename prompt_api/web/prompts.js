/**
 * What the person has asked for so far, as immutable data: a list of steps, the last one current.
 *
 * Coordinates are pixels of the upright picture, x right, y down.
 *
 * @typedef {{x: number, y: number, label: 0|1}} Point 1 belongs to the object, 0 does not
 * @typedef {{score: number, area: number, bbox: number[], rle: {size: [number, number], counts: string},
 *   mask_token: string}} Mask as the service answers
 * @typedef {{id: number, points: Point[], box: number[]|null, base: string|null,
 *   masks: Mask[]|null, chosen: number}} Step `base` is the token of the mask this step refines
 * @typedef {{steps: Step[], nextId: number}} History
 */

/** @type {History} */
export const NOTHING = Object.freeze({ steps: [], nextId: 1 });

const BLANK = Object.freeze({ id: 0, points: [], box: null, base: null, masks: null, chosen: 0 });

/** @returns {Step} the current step; a blank one before the first */
export function current(history) {
  return history.steps.at(-1) ?? BLANK;
}

/** True when there is nothing to ask the service. */
export function isBlank(step) {
  return step.points.length === 0 && step.box === null;
}

/** The step whose masks are to be seen: until the current one is answered, the one it came from. */
export function shownStep(history) {
  return history.steps.findLast((step) => step.masks || isBlank(step)) ?? BLANK;
}

/** The chosen mask of a step, or null before its answer. */
export function chosenMask(step) {
  return step.masks?.[step.chosen] ?? null;
}

/** One more point. It refines the chosen mask, if there is one. */
export function addPoint(history, point) {
  const step = current(history);
  const base = chosenMask(step)?.mask_token ?? step.base;
  return push(history, { points: [...step.points, point], box: step.box, base });
}

/** A new box [x0, y0, x1, y1]. It says afresh what is meant, so no earlier mask is refined. */
export function setBox(history, box) {
  return push(history, { points: current(history).points, box, base: null });
}

/** Everything away; `undo` brings it back. */
export function clear(history) {
  return isBlank(current(history)) ? history : push(history, { points: [], box: null, base: null });
}

/** One step back, with the masks that step already had. */
export function undo(history) {
  return { ...history, steps: history.steps.slice(0, -1) };
}

/** The masks of step `id`, the best score chosen. Unchanged if that step is gone. */
export function answer(history, id, masks) {
  const best = masks.reduce((top, mask, index) => (mask.score > masks[top].score ? index : top), 0);
  return change(history, id, { masks, chosen: best });
}

/** Another mask of the current step. */
export function choose(history, index) {
  const step = current(history);
  return step.masks?.[index] ? change(history, step.id, { chosen: index }) : history;
}

/** Step `id` without the mask it refines: for when the service no longer knows that mask. */
export function withoutBase(history, id) {
  return change(history, id, { base: null });
}

/**
 * The body of the request for one step.
 *
 * A first prompt is ambiguous and gets SAM's three masks; a refined one is not and gets its single one, as
 * segment-anything's own examples do.
 */
export function requestFor(step) {
  const prompt = {};
  if (step.points.length > 0) {
    prompt.points = step.points.map(({ x, y }) => [x, y]);
    prompt.labels = step.points.map(({ label }) => label);
  }
  if (step.box) prompt.box = step.box;
  if (step.base) prompt.mask_token = step.base;
  return { prompts: [prompt], multimask: step.base === null, format: "rle" };
}

/** The step a hover at (x, y) stands for. It never enters the history. */
export function hoverStep(x, y) {
  return { ...BLANK, points: [{ x, y, label: 1 }] };
}

function push(history, fields) {
  const step = { ...BLANK, ...fields, id: history.nextId };
  return { steps: [...history.steps, step], nextId: history.nextId + 1 };
}

function change(history, id, fields) {
  return { ...history, steps: history.steps.map((step) => (step.id === id ? { ...step, ...fields } : step)) };
}
