/** Clicking kept objects: a click selects one, a double click takes it up to change it. */

import { shareOf } from "./choices.js";
import { covers, edgesOf } from "./mask-edges.js";
import { announce } from "./notices.js";
import { maskOf } from "./objects.js";
import { isBlank } from "./prompts.js";

/**
 * The kept object at a place; the smallest, if several are there.
 * @param {import("./objects.js").Kept[]} objects
 * @param {Set<number>} hidden ids of objects that cannot be seen, and so not clicked
 * @param {{x: number, y: number}} place in pixels of the picture
 * @returns {import("./objects.js").Kept|null}
 */
export function objectAt(objects, hidden, place) {
  const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
  const isThere = (object) => {
    const { bbox, rle } = maskOf(object);
    const [left, top, width, height] = bbox;
    if (hidden.has(object.id) || x < left || y < top || x >= left + width || y >= top + height) return false;
    return covers(edgesOf(rle), x * rle.size[0] + y);
  };
  return objects.filter(isThere).reduce((best, object) => (best && maskOf(best).area <= maskOf(object).area ? best : object), null);
}

export class Picker {
  #gallery;
  #desk;
  #annotator;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./desk.js").Desk} desk
   * @param {import("./annotator.js").Annotator} annotator
   */
  constructor(gallery, desk, annotator) {
    this.#gallery = gallery;
    this.#desk = desk;
    this.#annotator = annotator;
  }

  /**
   * Selects the kept object at a place. While a prompt is under way, a click belongs to it and selects nothing.
   * @param {{x: number, y: number, label: 0|1, onTop?: boolean}} point `onTop`: the person wants to prompt there
   * @returns {boolean} false if the click is to be a prompt
   */
  press(point) {
    const object = point.label === 1 && !point.onTop ? this.#objectAt(point) : null;
    this.select(object?.id ?? null);
    return object !== null;
  }

  /** Takes up the object at a place. @param {{x: number, y: number}} place */
  pressTwice(place) {
    const object = this.#objectAt(place);
    if (object) this.#annotator.select(object.id);
  }

  /** Lights the kept object under the pointer. @returns {boolean} false if there is none */
  hover(place) {
    const object = place && this.#objectAt(place);
    this.#desk.highlight(object?.id ?? null);
    return Boolean(object);
  }

  /** @param {number|null} id null selects nothing */
  select(id) {
    const entry = this.#gallery.current;
    if (!entry || entry.selected === id) return;
    entry.selected = id;
    this.#desk.render();
    const object = this.selected;
    if (object) announce(`Selected ${object.label}, ${shareOf(maskOf(object), entry.size)} of the picture.`);
  }

  /** Deletes the selected object, if there is one. */
  remove() {
    const object = this.selected;
    if (object) this.#annotator.remove(object.id);
  }

  /** The selected object of the open picture, or null. It may have been deleted meanwhile. */
  get selected() {
    const entry = this.#gallery.current;
    return entry?.timeline.now.objects.find(({ id }) => id === entry.selected) ?? null;
  }

  #objectAt(place) {
    const entry = this.#gallery.current;
    if (!entry || !isBlank(entry.timeline.now.step)) return null;
    return objectAt(entry.timeline.now.objects, entry.hidden, place);
  }
}
