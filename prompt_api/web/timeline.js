/**
 * Everything a person did to one picture, so that it can be undone and redone.
 *
 * @typedef {{step: import("./prompts.js").Step, objects: import("./objects.js").Kept[], editing: number|null}} State
 *   `editing` is the id of the kept object that the step changes, or null for a new one
 * @typedef {{past: State[], now: State, future: State[], nextId: number}} Timeline
 */

import { BLANK, isBlank } from "./prompts.js";

const MOST_STATES = 500;

/** @type {Timeline} */
export const START = Object.freeze({
  past: [],
  now: Object.freeze({ step: BLANK, objects: [], editing: null }),
  future: [],
  nextId: 1,
});

/** A new state: `changes` over the present one. A step or object without an id of its own gets a fresh one. */
export function commit(timeline, changes) {
  const id = timeline.nextId;
  const now = { ...timeline.now, ...changes };
  if (changes.step) now.step = isBlank(changes.step) ? BLANK : { ...changes.step, id };
  const past = [...timeline.past, timeline.now].slice(-MOST_STATES);
  return { past, now, future: [], nextId: id + 1 };
}

/** Changes step `id` in every state that has it, for answers and choices. Adds no state. */
export function amend(timeline, id, fields) {
  const within = (state) => (state.step.id === id ? { ...state, step: { ...state.step, ...fields } } : state);
  if (id === BLANK.id) return timeline;
  return {
    ...timeline,
    past: timeline.past.map(within),
    now: within(timeline.now),
    future: timeline.future.map(within),
  };
}

/**
 * Changes kept objects in every state, so that undo does not bring back what they were. Adds no state.
 * @param {(object: import("./objects.js").Kept) => import("./objects.js").Kept} change returns the same object if
 *   nothing changes; states without a change stay the same
 */
export function amendObjects(timeline, change) {
  const known = new Map();
  const changed = (object) => {
    if (!known.has(object)) known.set(object, change(object));
    return known.get(object);
  };
  const lists = new Map();
  const within = (state) => {
    if (!lists.has(state.objects)) {
      const list = state.objects.map(changed);
      lists.set(state.objects, list.some((object, index) => object !== state.objects[index]) ? list : state.objects);
    }
    const objects = lists.get(state.objects);
    return objects === state.objects ? state : { ...state, objects };
  };
  const now = within(timeline.now);
  const [past, future] = [timeline.past.map(within), timeline.future.map(within)];
  const isSame = (states, before) => states.every((state, index) => state === before[index]);
  if (now === timeline.now && isSame(past, timeline.past) && isSame(future, timeline.future)) return timeline;
  return { ...timeline, past, now, future };
}

export function undo(timeline) {
  if (timeline.past.length === 0) return timeline;
  const { past, now, future } = timeline;
  return { ...timeline, past: past.slice(0, -1), now: past.at(-1), future: [now, ...future] };
}

export function redo(timeline) {
  if (timeline.future.length === 0) return timeline;
  const { past, now, future } = timeline;
  return { ...timeline, past: [...past, now], now: future[0], future: future.slice(1) };
}

/** The step whose masks are shown: the present one, or until it is answered the last answered or blank one before. */
export function shownStep(timeline) {
  const states = [...timeline.past, timeline.now];
  return states.findLast(({ step }) => step.masks || isBlank(step))?.step ?? BLANK;
}
