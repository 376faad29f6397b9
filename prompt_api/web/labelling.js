/** How a person names objects: the field for the label, the keys and the list of the classes. */

import { showClasses } from "./class-list.js";
import { classNamed } from "./classes.js";
import { confirmMerge } from "./dialogs.js";
import { announce } from "./notices.js";
import { cleanLabel } from "./objects.js";
import { chosenMask } from "./prompts.js";

export class Labelling {
  #gallery;
  #annotator;
  #classes;
  #stage;
  #field = document.getElementById("label");
  #wishes = {
    onUse: (name) => this.use(name),
    onRename: (from, to) => this.rename(from, to),
    onRecolour: (name, colour) => this.#classes.recolour(name, colour),
    onRemove: (name) => this.#classes.remove(name),
  };

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./annotator.js").Annotator} annotator
   * @param {import("./class-book.js").ClassBook} classes
   * @param {HTMLElement} stage gets the keys when the person leaves the field
   */
  constructor(gallery, annotator, classes, stage) {
    this.#gallery = gallery;
    this.#annotator = annotator;
    this.#classes = classes;
    this.#stage = stage;
    this.#field.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      if (event.key === "Enter") this.#accept();
      stage.focus({ preventScroll: true });
    });
  }

  /** Shows the classes again, after any change. */
  show() {
    for (const { timeline } of this.#gallery.entries) this.#classes.include(timeline.now.objects);
    showClasses(this.#classes, this.#wishes);
  }

  /** Fills the field with the class in use, after the session was read from the browser. */
  restore() {
    this.#field.value = this.#classes.current ?? "";
  }

  /** Keeps the present mask under the label in the field. That class stays in use. */
  keep() {
    if (!this.#mask) return;
    this.#annotator.keep(this.#field.value);
    this.#field.value = this.#classes.current;
  }

  /** Keeps a mask that was found, under the label in the field or another one. That class stays in use. */
  keepFound(mask, label = this.#field.value) {
    this.#annotator.keepFound(mask, label);
    this.#field.value = this.#classes.current;
  }

  /** Puts a class into use. The present mask is kept under it, or without one the selected object becomes one of it. */
  use(name) {
    this.#field.value = name;
    if (this.#mask) return this.keep();
    this.#classes.use(name);
    const selected = this.#selected;
    if (selected && selected.label !== name) this.#annotator.relabel(selected.id, name);
    announce(selected ? `The selected object is ${name}.` : `Class ${name}.`);
  }

  /** A digit stands for a class, or for a mask as long as there are no classes. */
  digit(position) {
    if (this.#classes.list.length === 0) return this.#annotator.choose(position);
    const chosen = this.#classes.list[position];
    if (chosen) this.use(chosen.name);
  }

  /** Renames a class. Asks first if that merges it with another one. */
  async rename(from, to) {
    const name = to.trim() ? cleanLabel(to) : from;
    const merges = name !== from && classNamed(this.#classes.list, name);
    const count = this.#classes.counts().get(from) ?? 0;
    if (merges && !(await confirmMerge(from, name, count === 1 ? "1 object" : `${count} objects`))) return this.show();
    if (this.#field.value === from) this.#field.value = name;
    this.#classes.rename(from, name);
    if (name === from) this.show();
    else announce(merges ? `${from} is now part of ${name}.` : `${from} is now called ${name}.`);
  }

  get #mask() {
    return this.#gallery.current && chosenMask(this.#gallery.current.timeline.now.step);
  }

  get #selected() {
    const { current } = this.#gallery;
    return current?.timeline.now.objects.find(({ id }) => id === current.selected) ?? null;
  }

  /** Enter in the field: keeps the mask, or without one puts the class into use. */
  #accept() {
    if (this.#mask) this.keep();
    else if (this.#field.value.trim()) this.use(cleanLabel(this.#field.value));
  }
}
