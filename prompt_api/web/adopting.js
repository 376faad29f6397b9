/** Takes objects from a file into a picture. */

import { cleanLabel, maskOf } from "./objects.js";
import { BLANK } from "./prompts.js";
import { commit } from "./timeline.js";

/**
 * Adds objects in one step that can be undone. An object that is there already, with the same label and the same mask, is
 * not added again, so the same file can be dropped twice.
 * @param {import("./timeline.js").Timeline} timeline
 * @param {{label: string, mask: import("./prompts.js").Mask}[]} found
 * @param {(label: string) => {name: string, colour: string}} classOf
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
  const added = fresh.map(({ label, mask }, index) => {
    const { name, colour } = classOf(label);
    const id = timeline.nextId + index;
    return { id, label: name, colour, step: { ...BLANK, id, drawn: mask, masks: [mask] } };
  });
  const roomy = { ...timeline, nextId: timeline.nextId + added.length };
  return { timeline: commit(roomy, { objects: [...timeline.now.objects, ...added] }), added: added.length };
}
