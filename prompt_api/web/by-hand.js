/**
 * What a stroke of the brush or the eraser changes. Pure functions take a state of the timeline and return what changes
 * in it.
 *
 * @typedef {{target: number|null, mask: import("./prompts.js").Mask|null}} Ground what a stroke starts on: a kept
 *   object's id, or null for the present mask; and the mask before the stroke, or null if there is none yet
 */

import { covers, edgesOf } from "./mask-edges.js";
import { remove } from "./objects.js";
import { BLANK, chosenMask, isBlank } from "./prompts.js";
import { shownStep } from "./timeline.js";

/**
 * The mask that the next stroke changes: the one on the screen, or the selected object's, or a new one.
 * @param {import("./timeline.js").Timeline} timeline
 * @param {number|null} selected id of a kept object
 * @returns {Ground}
 */
export function groundOf(timeline, selected) {
  const { step, objects } = timeline.now;
  if (!isBlank(step)) return { target: null, mask: chosenMask(shownStep(timeline)) };
  const object = objects.find(({ id }) => id === selected);
  return object ? { target: object.id, mask: chosenMask(object.step) } : { target: null, mask: null };
}

/**
 * Puts a painted mask in the place of the mask before the stroke. A mask without pixels is taken away.
 * @param {import("./timeline.js").State} state
 * @param {number|null} target of the stroke's `Ground`
 * @param {import("./prompts.js").Mask} mask
 */
export function painted(state, target, mask) {
  if (target === null) return mask.area === 0 ? { step: BLANK, editing: null } : { step: drawnStep(state.step, mask) };
  if (!state.objects.some(({ id }) => id === target)) return null;
  if (mask.area === 0) return remove(state, target);
  const paint = (object) => (object.id === target ? { ...object, step: drawnStep(object.step, mask) } : object);
  return { objects: state.objects.map(paint) };
}

/**
 * A step whose mask a person has drawn. Of its prompt stays what the mask still agrees with, because the next prompt is
 * asked together with the mask.
 * @param {import("./prompts.js").Step} step the prompt before
 * @param {import("./prompts.js").Mask} mask
 * @returns {import("./prompts.js").Step}
 */
export function drawnStep({ points, box }, mask) {
  const edges = edgesOf(mask.rle);
  const [height, width] = mask.rle.size;
  const within = (value, most) => Math.min(most - 1, Math.max(0, Math.floor(value)));
  const agrees = ({ x, y, label }) => covers(edges, within(x, width) * height + within(y, height)) === (label === 1);
  return { ...BLANK, points: points.filter(agrees), box: box && encloses(box, mask.bbox) ? box : null, drawn: mask, masks: [mask] };
}

function encloses([x0, y0, x1, y1], [x, y, width, height]) {
  return x0 <= x && y0 <= y && x1 >= x + width && y1 >= y + height;
}
