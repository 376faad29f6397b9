/** The row below the picture that belongs to what looks alike: how much of it is lit, and the buttons. */

import { countsOf, isLit, litOf, unjudgedOf } from "./alike-search.js";
import { setText } from "./notices.js";
import { showOfferRow } from "./offer-row.js";
import { sentenceFor } from "./problems.js";

const slider = () => document.getElementById("alike-most");

/**
 * @typedef {{searches: (import("./alike-search.js").Wish & {found: object[], isCut: boolean, isGone: boolean})[], verdicts: Map,
 *   candidates: import("./alike-search.js").Candidate[], least: number, isAsking: boolean,
 *   error: Error|null}} Run what `AlikeMode` runs
 */

/**
 * @param {(count: number) => void} onCount called with the number of masks to light when the slider was moved
 * @param {() => void} onEnter called when Enter was pressed on the slider
 */
export function listenToSlider(onCount, onEnter) {
  slider().addEventListener("input", ({ target }) => onCount(Number(target.value)));
  slider().addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    onEnter();
  });
}

/** Whether the keys are with the row. It goes away with the search. */
export function hasFocus() {
  return document.getElementById("alike-row").contains(document.activeElement);
}

/** @param {Run|null} run null hides the row @param {boolean} canStart whether a search can be started */
export function showAlike(run, canStart = true) {
  const lit = run ? litOf(run) : [];
  const share = run?.isAsking ? null : undefined;
  showOfferRow("alike", run && { text: textOf(run), share, count: run.candidates.length, canKeep: lit.length > 0 }, canStart);
  if (!run) return;
  const open = unjudgedOf(run);
  const count = open.filter((one) => isLit(run, one)).length;
  const input = slider();
  input.hidden = open.length === 0;
  input.max = String(open.length);
  input.value = String(count);
  input.setAttribute("aria-valuetext", `${count} of ${open.length}`);
  setText("alike-keep", `Keep ${lit.length}`);
  setText("alike-close", run.isAsking ? "Stop" : "Close");
}

/** The state of the search in words. @param {Run} run */
export function textOf(run) {
  const { searches, error, isAsking, candidates } = run;
  if (error) return sentenceFor(error);
  const gone = searches.filter(({ isGone }) => isGone);
  const lost = `The service no longer has the picture with the examples of ${namesOf(gone)}.`;
  if (gone.length > 0) return `${foundText(run)} ${lost}`.trim();
  if (candidates.length > 0) return foundText(run);
  if (isAsking) return `Looking for ${namesOf(searches)}`;
  const isLate = searches.some(({ isCut }) => isCut);
  return isLate ? "The search took too long. Try again." : `Nothing like ${namesOf(searches)} was found.`;
}

/** The end of a search as a sentence for a screen reader. @param {Run} run */
export function endOf(run) {
  const text = textOf(run);
  if (run.error || run.candidates.length === 0) return text;
  return `Found ${text} Enter keeps them. Comma and full stop go through them, Delete takes one away, Escape ends this.`;
}

function foundText(run) {
  if (run.candidates.length === 0) return "";
  const lit = litOf(run);
  const more = run.searches.some(({ isCut }) => isCut) ? " There may be more." : "";
  return `${lit.length === 0 ? "None is lit" : countsOf(lit)}.${more}`;
}

function namesOf(searches) {
  return searches.map(({ label }) => label).join(", ");
}
