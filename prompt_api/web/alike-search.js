/**
 * What a search for similar objects asks, and what of its answers is offered. Pure functions.
 *
 * @typedef {import("./prompts.js").Mask} Mask
 * @typedef {{image_id: string, mask: Mask}} Example an object of some picture
 * @typedef {{label: string, examples: Example[], others: Example[]}} Wish find what looks like the examples, for the class
 *   `label`; `others` say what is not meant
 * @typedef {Mask & {label: string, similarity: number, point: {x: number, y: number}}} Candidate a mask that was found;
 *   a click at `point` gives it as well
 */

import { isSameObject } from "./mask-edges.js";
import { maskOf } from "./objects.js";

/** The most examples of one request, and of those the most that are meant, and that other classes give. */
export const MOST_EXAMPLES = 32;
const MOST_MEANT = 12;
const MOST_OTHERS = 8;
/** The most masks of one request that are known already. */
const MOST_EXCLUDED = 1000;
/** The most characters of their run lengths. */
const MOST_CHARACTERS = 3_000_000;

/** The least similarity that is asked for. The slider goes down to it. */
export const LEAST_SIMILARITY = 0.2;
/** From this similarity on, masks are lit at first. It is the service's default. */
export const LIT_SIMILARITY = 0.424;
/** The most masks of one answer. */
const LIMIT = 200;

/** An object of this many times the example's area is never taken for it, nor one of this share. It is the service's default. */
const LIKE_SIZE = [0.3, 3.3];

/**
 * The wish for everything on a picture that looks like one of its objects.
 * @param {import("./objects.js").Kept} example
 * @param {import("./objects.js").Kept[]} objects all of that picture
 * @param {string} id of the picture's image
 * @returns {Wish}
 */
export function wishFor(example, objects, id) {
  const exampleOf = (object) => ({ image_id: id, mask: maskOf(object) });
  const others = objects.filter(({ label }) => label !== example.label).map(exampleOf);
  return withOthers({ label: example.label, examples: [exampleOf(example)] }, others);
}

/**
 * What may be mistaken for the examples of a wish is said not to be meant. What is much larger or smaller is not mistaken.
 * @param {{label: string, examples: Example[]}} wish
 * @param {Example[]} others objects of other classes
 * @returns {Wish}
 */
export function withOthers(wish, others) {
  const shares = wish.examples.map(shareOf);
  const [least, most] = [LIKE_SIZE[0] * Math.min(...shares), LIKE_SIZE[1] * Math.max(...shares)];
  const isLike = (example) => shareOf(example) >= least && shareOf(example) <= most;
  return { ...wish, others: others.filter(isLike).slice(-MOST_OTHERS) };
}

/**
 * @param {Wish} wish
 * @param {Map<Candidate, 0|1>} verdicts what a person said of candidates of this class, in the order of saying it
 * @param {import("./objects.js").Kept[]} objects kept on the picture
 * @returns {object} the body of the request
 */
export function requestFor({ label, examples, others }, verdicts, objects) {
  const judged = (verdict) => [...verdicts].filter(([one, its]) => its === verdict && one.label === label).map(([one]) => one);
  const named = (value) => ({ image_id, mask: { rle } }) => ({ image_id, mask: { rle }, label: value });
  const here = (value) => ({ rle }) => ({ mask: { rle }, label: value });
  const meant = [...examples.map(named(1)), ...judged(1).map(here(1))].slice(0, MOST_MEANT);
  // The last ones say most: they looked like the class even after the others were taken away.
  const room = MOST_EXAMPLES - meant.length;
  const notMeant = [...others.map(named(0)), ...judged(0).map(here(0))].slice(-room);
  return {
    examples: [...meant, ...notMeant],
    limit: LIMIT,
    min_similarity: LEAST_SIMILARITY,
    exclude: withinRoom([...judged(0), ...judged(1), ...objects.map(maskOf)]),
  };
}

/** @returns {Candidate[]} the masks of an answer */
export function candidatesOf({ masks }, label) {
  return masks.map(({ point: [x, y], ...mask }) => ({ ...mask, point: { x, y }, label }));
}

/**
 * What is offered: the candidates that are not kept yet, each object once, by falling similarity. An object that was found
 * for two classes is offered for the one that it looks like more.
 * @param {Candidate[]} found
 * @param {Map<Candidate, 0|1>} verdicts judged candidates are offered too, also if they were not found again
 * @param {import("./objects.js").Kept[]} objects
 */
export function offered(found, verdicts, objects) {
  const kept = objects.map(maskOf);
  const all = [...verdicts.keys(), ...[...found].sort((one, other) => other.similarity - one.similarity)];
  const chosen = [];
  for (const candidate of all) {
    const isKnown = (other) => isSameObject(candidate, other);
    if (!kept.some(isKnown) && !chosen.some(isKnown)) chosen.push(candidate);
  }
  return chosen.sort((one, other) => other.similarity - one.similarity);
}

/**
 * Whether a candidate would be kept.
 * @param {{verdicts: Map<Candidate, 0|1>, least: number}} run those of at least the similarity `least` are lit, unless a
 *   person judged them
 * @param {Candidate} candidate
 */
export function isLit({ verdicts, least }, candidate) {
  return verdicts.has(candidate) ? verdicts.get(candidate) === 1 : candidate.similarity >= least;
}

/** @param {{candidates: Candidate[], verdicts: Map<Candidate, 0|1>, least: number}} run */
export function litOf(run) {
  return run.candidates.filter((one) => isLit(run, one));
}

/** The candidates that the slider is for. @param {{candidates: Candidate[], verdicts: Map<Candidate, 0|1>}} run */
export function unjudgedOf({ candidates, verdicts }) {
  return candidates.filter((one) => !verdicts.has(one));
}

/** How many there are of each class: "12 like coin, 3 like button". @param {Candidate[]} candidates */
export function countsOf(candidates) {
  const counts = new Map();
  for (const { label } of candidates) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) => `${count} like ${label}`).join(", ");
}

/** The part of its picture that an example covers, 0-1. */
function shareOf({ mask: { area, rle } }) {
  return area / (rle.size[0] * rle.size[1]);
}

/** The masks as the service takes them, as many as one request may have. @param {Mask[]} masks */
function withinRoom(masks) {
  let characters = 0;
  const fits = ({ rle }) => (characters += rle.counts.length) <= MOST_CHARACTERS;
  return masks.slice(0, MOST_EXCLUDED).filter(fits).map(({ rle }) => ({ rle }));
}
