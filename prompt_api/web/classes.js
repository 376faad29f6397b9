/**
 * The classes of a session, in the order of their keys. Pure functions return new lists.
 *
 * A class is known by its name, which is the `label` of its objects.
 *
 * @typedef {{name: string, colour: string}} Class colour is "#rrggbb"
 */

import { cleanLabel } from "./objects.js";

/** Colours that differ on light and dark photos, also for most people with a colour vision deficiency. */
export const PALETTE = ["#ff8c1a", "#00b3a4", "#e0359a", "#8fd14f", "#7a5cff", "#ffd400", "#00a2ff", "#ff5a4f"];

/** The keys of the first ten classes. */
export const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"];

/** The class with this name, or undefined. */
export function classNamed(classes, name) {
  return classes.find((one) => one.name === name);
}

/** Adds a class under a cleaned name, unless there is one. A new class gets the colour that is used least. */
export function withClass(classes, name) {
  const clean = cleanLabel(name);
  return classNamed(classes, clean) ? classes : [...classes, { name: clean, colour: freshColour(classes) }];
}

/** Renames a class. If there is a class of the new name, both become that one. */
export function renamed(classes, from, to) {
  const clean = cleanLabel(to);
  if (clean === from) return classes;
  if (classNamed(classes, clean)) return without(classes, from);
  return classes.map((one) => (one.name === from ? { ...one, name: clean } : one));
}

export function recoloured(classes, name, colour) {
  return classes.map((one) => (one.name === name ? { ...one, colour } : one));
}

export function without(classes, name) {
  return classes.filter((one) => one.name !== name);
}

/** The colour used least so far; of several, the first in the palette. */
function freshColour(classes) {
  const uses = (colour) => classes.filter((one) => one.colour === colour).length;
  return PALETTE.reduce((best, colour) => (uses(colour) < uses(best) ? colour : best));
}
