/**
 * The objects kept on one picture. Pure functions take a state of the timeline and return what changes in it.
 *
 * An object is stored in the session as it is, so each field must survive a structured clone.
 *
 * @typedef {{id: number, label: string, colour: string, step: import("./prompts.js").Step}} Kept
 *   `id` is unique on its picture; `label` is the name of its class, and `colour` ("#rrggbb") the colour of that class;
 *   the mask (RLE, area, box, score) is the step's chosen one
 */

import { BLANK, chosenMask } from "./prompts.js";

export const FIRST_LABEL = "object";
export const LONGEST_LABEL = 60;

/**
 * Adds the present mask to the objects, or replaces the object being edited. Returns null if there is no mask.
 * @param {import("./timeline.js").State} state
 * @param {{id: number, label: string, colour: string}} made the fields of a new object; an edited one keeps its id
 */
export function keep({ step, objects, editing }, { id, label, colour }) {
  if (!chosenMask(step)) return null;
  const before = objects.find((object) => object.id === editing);
  const object = { id: before?.id ?? id, label: cleanLabel(label), colour, step };
  const next = before ? objects.map((other) => (other === before ? object : other)) : [...objects, object];
  return { step: BLANK, objects: next, editing: null };
}

/** Makes the prompt of a kept object the present one again. */
export function reselect({ objects }, id) {
  const object = objects.find((other) => other.id === id);
  return object ? { step: object.step, editing: id } : null;
}

/** Gives an object to another class. */
export function relabel({ objects }, id, label, colour) {
  return { objects: objects.map((object) => (object.id === id ? { ...object, label: cleanLabel(label), colour } : object)) };
}

/** Removes an object. Its prompt is cleared too if it was being edited. */
export function remove({ objects, editing }, id) {
  const next = objects.filter((object) => object.id !== id);
  return editing === id ? { step: BLANK, objects: next, editing: null } : { objects: next };
}

/** Each label once, in the order of first use. */
export function labelsOf(objects) {
  return [...new Set(objects.map((object) => object.label))];
}

/** @returns {import("./prompts.js").Mask} */
export function maskOf(object) {
  return chosenMask(object.step);
}

/** A label as it is stored: one line of at most 60 characters, "object" if nothing is left. */
export function cleanLabel(label) {
  return label.replace(/\s+/g, " ").trim().slice(0, LONGEST_LABEL).trim() || FIRST_LABEL;
}
