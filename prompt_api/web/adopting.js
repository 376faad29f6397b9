/** Takes masks into a picture that no prompt on it asked for: from a file, or found by the service. */

import { cleanLabel, maskOf } from "./objects.js";
import { BLANK } from "./prompts.js";
import { commit } from "./timeline.js";

/**
 * @typedef {{label: string, mask: import("./prompts.js").Mask, point?: {x: number, y: number}}} Found `point`: a click
 *   there gives the mask, so that further clicks refine it. Without one the mask counts as drawn
 */

/**
 * Adds objects in one step that can be undone. An object that is there already, with the same label and the same mask, is
 * not added again, so the same file can be dropped twice.
 * @param {import("./timeline.js").Timeline} timeline
 * @param {Found[]} found
 * @param {(label: string) => {name: string, colour: string}} classOf is called once for each label
 * @returns {{timeline: import("./timeline.js").Timeline, added: number}}
 */
export function adopted(timeline, found, classOf) {
  const key = (label, mask) => `${label}\n${mask.rle.counts}`;
  const known = new Set(timeline.now.objects.map((object) => key(object.label, maskOf(object))));
  const fresh = found.filter(({ label, mask }) => {
    const own = key(cleanLabel(label), mask);
    return mask.area > 0 && !known.has(own) && known.add(own);
  });
  if (fresh.length === 0) return { timeline, added: 0 };
  const classes = new Map(fresh.map(({ label }) => [label, null]));
  for (const label of classes.keys()) classes.set(label, classOf(label));
  const added = fresh.map(({ label, mask, point }, index) => {
    const { name, colour } = classes.get(label);
    const id = timeline.nextId + index;
    const prompt = point ? { points: [{ ...point, label: 1 }] } : { drawn: mask };
    return { id, label: name, colour, step: { ...BLANK, id, ...prompt, masks: [mask] } };
  });
  const roomy = { ...timeline, nextId: timeline.nextId + added.length };
  return { timeline: commit(roomy, { objects: [...timeline.now.objects, ...added] }), added: added.length };
}
