/** Choices kept between visits. If the browser does not store them, they last until the page closes. */

const here = new Map();

/** @returns {string|null} */
export function recall(key) {
  try {
    return localStorage.getItem(key) ?? here.get(key) ?? null;
  } catch {
    return here.get(key) ?? null;
  }
}

/** @param {string|null} value null forgets the choice */
export function remember(key, value) {
  if (value === null) here.delete(key);
  else here.set(key, value);
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage is switched off, so only `here` has the value.
  }
}
