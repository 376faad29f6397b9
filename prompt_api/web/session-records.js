/** What the session stores of each picture, and back. Pure functions; what is read is checked, as it may be damaged. */

import { START } from "./timeline.js";

/**
 * What never changes of a picture, but its thumbnail and hash, which come a little later.
 * @param {import("./gallery.js").Entry} entry
 */
export function pictureRecord({ id, source, size, thumbnail, hash }) {
  const { name, folder, bytes, lastModified } = source;
  return { id, name, folder, bytes, lastModified, size, thumbnail, hash };
}

/** What a person did to a picture. `isSaved`: the last export contains its objects. */
export function workRecord({ timeline, hidden, view, done, savedObjects }) {
  return { timeline, hidden: [...hidden], view, done, isSaved: timeline.now.objects === savedObjects };
}

/** The classes and the position. `carry`: the classes are looked for on the next picture. */
export function sessionRecord({ classes, current, carry, picture }) {
  return { classes, current, carry, picture };
}

/**
 * The fields of an entry that these records describe, or null if the picture's own record is damaged. Damaged work is
 * replaced by none.
 * @param {any} picture
 * @param {any} work undefined if nothing was done
 */
export function restored(picture, work) {
  if (!isPicture(picture)) return null;
  const { size, thumbnail, hash } = picture;
  const fields = { size: size ?? null, thumbnail: thumbnail ?? null, hash: hash ?? null };
  if (!isWork(work)) return { ...fields, timeline: START, hidden: new Set(), view: null, done: false, savedObjects: [] };
  const { timeline, hidden, view, done, isSaved } = work;
  const savedObjects = isSaved ? timeline.now.objects : [];
  return { ...fields, timeline, hidden: new Set(hidden), view: view ?? null, done: done === true, savedObjects };
}

/** The stored classes, without damaged ones. */
export function restoredClasses(session) {
  const classes = Array.isArray(session?.classes) ? session.classes : [];
  return classes.filter((one) => typeof one?.name === "string" && /^#[0-9a-f]{6}$/i.test(one.colour));
}

function isPicture(record) {
  return Number.isInteger(record?.id) && typeof record.name === "string" && (record.size == null || record.size.width > 0);
}

function isWork(record) {
  const line = record?.timeline;
  const states = [line?.past, line?.future].every(Array.isArray) ? [...line.past, line.now, ...line.future] : [];
  return states.length > 0 && Array.isArray(record.hidden) && states.every(isState) && Number.isInteger(line.nextId);
}

function isState(state) {
  return Array.isArray(state?.objects) && Array.isArray(state.step?.points) && "masks" in state.step;
}
