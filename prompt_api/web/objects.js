/**
 * The objects kept on one picture. Pure functions take a state of the timeline and return what changes in it.
 *
 * @typedef {{id: number, label: string, colour: string, step: import("./prompts.js").Step}} Kept
 *   colour is "#rrggbb"; the mask is the step's chosen one
 */

import { BLANK, chosenMask } from "./prompts.js";

/** Colours that differ on light and dark photos, also for most people with a colour vision deficiency. */
export const PALETTE = ["#ff8c1a", "#00b3a4", "#e0359a", "#8fd14f", "#7a5cff", "#ffd400", "#00a2ff", "#ff5a4f"];

export const FIRST_LABEL = "object";
export const LONGEST_LABEL = 60;

/** Adds the present mask to the objects, or replaces the object being edited. Returns null if there is no mask. */
export function keep({ step, objects, editing }, { id, label }) {
  if (!chosenMask(step)) return null;
  const before = objects.find((object) => object.id === editing);
  const object = { id: before?.id ?? id, label: cleanLabel(label), colour: before?.colour ?? freshColour(objects), step };
  const next = before ? objects.map((other) => (other === before ? object : other)) : [...objects, object];
  return { step: BLANK, objects: next, editing: null };
}

/** Makes the prompt of a kept object the present one again. */
export function reselect({ objects }, id) {
  const object = objects.find((other) => other.id === id);
  return object ? { step: object.step, editing: id } : null;
}

export function relabel({ objects }, id, label) {
  return change(objects, id, { label: cleanLabel(label) });
}

export function recolour({ objects }, id, colour) {
  return change(objects, id, { colour });
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

function change(objects, id, fields) {
  return { objects: objects.map((object) => (object.id === id ? { ...object, ...fields } : object)) };
}

function cleanLabel(label) {
  return label.replace(/\s+/g, " ").trim().slice(0, LONGEST_LABEL) || FIRST_LABEL;
}

/** The colour used least so far; of several, the first in the palette. */
function freshColour(objects) {
  const uses = (colour) => objects.filter((object) => object.colour === colour).length;
  return PALETTE.reduce((best, colour) => (uses(colour) < uses(best) ? colour : best));
}
