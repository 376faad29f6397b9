/** The row below the picture that belongs to masks which are offered: the state of the search, and the buttons. */

import { setText } from "./notices.js";

const find = (id) => document.getElementById(id);

/**
 * Shows the row and the button that starts the search.
 * @param {string} name of the button. The parts of the row are called `${name}-text`, `${name}-bar` and so on.
 * @param {{text: string, share: number|null|undefined, count: number, canKeep: boolean}|null} state null hides the row.
 *   `share` of the search that is done: null if it is not known, undefined if no search runs; `count` of the masks that are
 *   offered
 * @param {boolean} canStart whether a search can be started
 */
export function showOfferRow(name, state, canStart) {
  const [button, row] = [find(name), find(`${name}-row`)];
  const part = (of) => find(`${name}-${of}`);
  button.setAttribute("aria-pressed", String(state !== null));
  const isOff = state === null && !canStart;
  // The keyboard goes on from where it was, although that is hidden or disabled now.
  if (state === null && row.contains(document.activeElement)) find(isOff ? "stage" : name).focus({ preventScroll: true });
  if (isOff && document.activeElement === button) find("stage").focus({ preventScroll: true });
  button.disabled = isOff;
  row.hidden = state === null;
  if (state === null) return;
  const { text, share, count, canKeep } = state;
  setText(`${name}-text`, text);
  const bar = part("bar");
  bar.hidden = share === undefined;
  if (share === null) bar.removeAttribute("value");
  else if (share !== undefined) bar.value = share;
  for (const of of ["previous", "next", "keep"]) part(of).hidden = count === 0;
  part("keep").disabled = !canKeep;
}
