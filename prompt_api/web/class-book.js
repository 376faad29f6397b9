/** The classes of the session and the one in use. Renaming and recolouring reach the objects of every picture. */

import { classNamed, recoloured, renamed, withClass, without } from "./classes.js";
import { cleanLabel } from "./objects.js";
import { amendObjects } from "./timeline.js";

export class ClassBook {
  /** @type {import("./classes.js").Class[]} */
  list = [];
  /** @type {string|null} the class that the next object gets unless another one is named */
  current = null;
  /** Whether the classes are looked for on the next picture. */
  isCarried = false;
  #gallery;
  #onChange;

  /** @param {import("./gallery.js").Gallery} gallery @param {() => void} onChange called after each change */
  constructor(gallery, onChange) {
    this.#gallery = gallery;
    this.#onChange = onChange;
  }

  /** Replaces everything, for a session that is read from the browser. */
  restore(list, current, isCarried = false) {
    this.list = list;
    this.isCarried = isCarried;
    this.current = classNamed(list, current) ? current : null;
    this.#onChange();
  }

  /** Puts a class into use, and adds it if it is new. @returns {import("./classes.js").Class} */
  use(label) {
    this.current = cleanLabel(label);
    return this.add(label);
  }

  /** Adds a class unless it is there. @returns {import("./classes.js").Class} */
  add(label) {
    this.list = withClass(this.list, label);
    this.#onChange();
    return classNamed(this.list, cleanLabel(label));
  }

  /** Has the classes looked for on the next picture, or no longer. */
  carry(isCarried) {
    this.isCarried = isCarried;
    this.#onChange();
  }

  /** How many objects each class has on all pictures. @returns {Map<string, number>} by name */
  counts() {
    const counts = new Map(this.list.map(({ name }) => [name, 0]));
    for (const { timeline } of this.#gallery.entries) {
      for (const { label } of timeline.now.objects) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    return counts;
  }

  /** Renames a class on every picture, or merges it into the class that has the name already. */
  rename(from, to) {
    const name = cleanLabel(to);
    if (name === from || !classNamed(this.list, from)) return;
    this.list = renamed(this.list, from, name);
    if (this.current === from) this.current = name;
    this.#amend(from, classNamed(this.list, name));
  }

  /** Changes the colour of a class and of its objects. */
  recolour(name, colour) {
    this.list = recoloured(this.list, name, colour);
    this.#amend(name, classNamed(this.list, name));
  }

  /** Removes a class. Its objects on a picture that come back by undo bring it back. */
  remove(name) {
    this.list = without(this.list, name);
    if (this.current === name) this.current = null;
    this.#onChange();
  }

  /** Adds the classes of objects that came in another way than by a label: by undo, or from a file. */
  include(objects) {
    let { list } = this;
    for (const { label, colour } of objects) if (!classNamed(list, label)) list = [...list, { name: label, colour }];
    if (list !== this.list) this.list = list;
  }

  #amend(from, { name, colour }) {
    const change = (object) => (object.label === from ? { ...object, label: name, colour } : object);
    for (const entry of this.#gallery.entries) entry.timeline = amendObjects(entry.timeline, change);
    this.#onChange();
  }
}
