/** What other pictures show of each class, so that the same can be looked for on the next picture. Pure functions. */

import { withOthers } from "./alike-search.js";
import { maskOf } from "./objects.js";

/** The most classes that are looked for. Each is a request of its own. */
const MOST_CLASSES = 8;
/** The most examples of a class. */
const MOST_EXAMPLES = 4;

/**
 * A wish for each class of which another picture has an object. Its examples are those of the nearest picture, first of the
 * pictures before this one.
 * @param {import("./gallery.js").Entry[]} entries
 * @param {import("./gallery.js").Entry} entry the picture to search
 * @param {import("./classes.js").Class[]} classes
 * @returns {import("./alike-search.js").Wish[]}
 */
export function carriedWishes(entries, entry, classes) {
  const at = entries.indexOf(entry);
  // A picture without a hash is not known to the service.
  const near = [...entries.slice(0, at).reverse(), ...entries.slice(at + 1)].filter(({ hash }) => hash !== null);
  const wishes = [];
  for (const { name: label } of classes) {
    const source = near.find(({ timeline }) => timeline.now.objects.some((object) => object.label === label));
    if (source) wishes.push({ label, examples: examplesOf(source, label) });
    if (wishes.length === MOST_CLASSES) break;
  }
  return wishes.map((wish) => withOthers(wish, wishes.filter((other) => other !== wish).flatMap(({ examples }) => examples)));
}

/** The masks of a class that are surest. One that a person drew is sure. */
function examplesOf({ hash, timeline }, label) {
  const masks = timeline.now.objects.filter((object) => object.label === label).map(maskOf);
  const sureness = ({ score }) => score ?? 1;
  const best = [...masks].sort((one, other) => sureness(other) - sureness(one)).slice(0, MOST_EXAMPLES);
  return best.map((mask) => ({ image_id: hash, mask }));
}
