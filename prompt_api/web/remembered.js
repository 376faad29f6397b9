/** Choices kept between visits. Where the browser keeps nothing, they last as long as the page. */

const here = new Map();

/** @returns {string|null} */
export function recall(key) {
  try {
    return localStorage.getItem(key) ?? here.get(key) ?? null;
  } catch {
    return here.get(key) ?? null;
  }
}

/** @param {string|null} value null forgets */
export function remember(key, value) {
  if (value === null) here.delete(key);
  else here.set(key, value);
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage is switched off: `here` has it.
  }
}
