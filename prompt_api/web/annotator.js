/** What a person does to the open picture. Each action changes its timeline, shows the change, and asks for masks. */

import { adopted } from "./adopting.js";
import { sentenceOf } from "./choices.js";
import { announce, hideAlert } from "./notices.js";
import * as objects from "./objects.js";
import * as prompts from "./prompts.js";
import * as timeline from "./timeline.js";

const HOVER_LAG = "hover-lag";
const MOST_MEASURES = 500;

export class Annotator {
  #gallery;
  #desk;
  #conversation;
  #classes;
  #hover = null;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./desk.js").Desk} desk
   * @param {import("./conversation.js").Conversation} conversation
   * @param {import("./class-book.js").ClassBook} classes
   */
  constructor(gallery, desk, conversation, classes) {
    this.#gallery = gallery;
    this.#desk = desk;
    this.#conversation = conversation;
    this.#classes = classes;
  }

  addPoint(point) {
    this.#commit((state) => ({ step: prompts.withPoint(state.step, point) }));
  }

  setBox(box) {
    this.#commit((state) => ({ step: prompts.withBox(state.step, box) }));
  }

  /** Clears the prompt. An object that was being edited stays as it was. */
  clear() {
    this.#commit(({ step }) => (prompts.isBlank(step) ? null : { step: prompts.BLANK, editing: null }));
  }

  /** Keeps the present mask under a label. The class of that label stays in use. */
  keep(label) {
    const { now, nextId } = this.#gallery.current.timeline;
    if (!prompts.chosenMask(now.step)) return;
    const { name, colour } = this.#classes.use(label);
    const changes = objects.keep(now, { id: nextId, label: name, colour });
    this.#commit(() => changes);
    announceKept(changes.objects.length, now.editing === null ? "Kept" : "Updated");
  }

  /** Keeps a mask that no prompt of this page asked for. Its class stays in use. @param {import("./prompts.js").Mask} mask */
  keepFound(mask, label) {
    this.#adopt([{ label, mask }], (name) => this.#classes.use(name));
  }

  /** Keeps masks that were found, in one step. @param {import("./adopting.js").Found[]} found */
  keepAll(found) {
    this.#adopt(found, (name) => this.#classes.add(name));
  }

  /** Starts to edit a kept object. A second call ends that and leaves the object as it was. */
  select(id) {
    this.#commit((state) => (state.editing === id ? { step: prompts.BLANK, editing: null } : objects.reselect(state, id)));
  }

  relabel(id, label) {
    const { name, colour } = this.#classes.add(label);
    this.#commit((state) => objects.relabel(state, id, name, colour));
  }

  /** Changes the colour of the object's class. */
  recolour(id, colour) {
    const object = this.#gallery.current.timeline.now.objects.find((one) => one.id === id);
    if (object) this.#classes.recolour(object.label, colour);
  }

  remove(id) {
    this.#commit((state) => objects.remove(state, id));
    announce("Deleted.");
  }

  /**
   * Changes the open picture's state in one step.
   * @param {(state: import("./timeline.js").State) => object|null} changesOf returns null to change nothing
   */
  change(changesOf) {
    this.#commit(changesOf);
  }

  setVisible(ids, visible) {
    const hidden = new Set(this.#gallery.current.hidden);
    for (const id of ids) visible ? hidden.delete(id) : hidden.add(id);
    this.#gallery.current.hidden = hidden;
    this.#desk.render();
  }

  /** Hides all objects, or shows them if all are hidden. */
  toggleAll() {
    const { timeline: line, hidden } = this.#gallery.current;
    const ids = line.now.objects.map(({ id }) => id);
    this.setVisible(ids, ids.every((id) => hidden.has(id)));
  }

  undo() {
    this.#become(timeline.undo(this.#gallery.current.timeline), "Undone.");
  }

  redo() {
    this.#become(timeline.redo(this.#gallery.current.timeline), "Redone.");
  }

  /** Chooses the mask after the chosen one. The first follows the last. */
  chooseNext() {
    const { masks, chosen } = this.#gallery.current.timeline.now.step;
    if (masks?.length > 1) this.choose((chosen + 1) % masks.length);
  }

  choose(index) {
    const entry = this.#gallery.current;
    const { step } = entry.timeline.now;
    if (!step.masks?.[index]) return;
    entry.timeline = timeline.amend(entry.timeline, step.id, { chosen: index });
    this.#desk.render();
    this.#announceStep(entry);
  }

  /** @param {{x: number, y: number, since: number, byKeyboard?: boolean}|null} place null when nothing is pointed at */
  hover(place) {
    const entry = this.#gallery.current;
    this.#hover = place;
    if (!entry || !prompts.isBlank(entry.timeline.now.step)) return;
    if (!place) {
      this.#conversation.forget();
      this.#desk.showPreview(null);
    } else if (entry.image) {
      const step = prompts.hoverStep(place.x, place.y);
      this.#conversation.submit({ entry, step, isHover: true, since: place.since });
    }
  }

  /** Asks again what a click at the pointer would give, because a finer answer can be had. */
  hoverAgain() {
    if (this.#hover) this.hover({ ...this.#hover, since: performance.now(), byKeyboard: false });
  }

  /** Asks for the masks of the present step, if they are missing. */
  askCurrent() {
    const entry = this.#gallery.current;
    const step = entry?.timeline.now.step;
    if (!entry?.image || prompts.isBlank(step) || step.masks) return;
    this.#conversation.submit({ entry, step, isHover: false, since: performance.now() });
  }

  /** @param {import("./conversation.js").Job} job @param {import("./decoding.js").Answer} answer */
  receive({ entry, step, isHover, since }, answer) {
    const { masks } = answer.results[0];
    const isCurrent = entry === this.#gallery.current;
    if (isHover) {
      if (isCurrent) this.#showHover(entry, step, masks, since);
      return;
    }
    entry.timeline = timeline.amend(entry.timeline, step.id, { ...prompts.answerFields(masks), region: answer.region });
    if (!isCurrent) return;
    this.#desk.render();
    if (entry.timeline.now.step.id === step.id) this.#announceStep(entry);
  }

  #showHover(entry, step, masks, since) {
    if (!this.#hover || !prompts.isBlank(entry.timeline.now.step)) return;
    const mask = masks[prompts.answerFields(masks).chosen];
    this.#desk.showPreview(mask);
    performance.measure(HOVER_LAG, { start: since, end: performance.now() });
    if (performance.getEntriesByName(HOVER_LAG).length > MOST_MEASURES) performance.clearMeasures(HOVER_LAG);
    if (!this.#hover.byKeyboard) return;
    const [{ x, y }] = step.points;
    announce(`At ${x}, ${y}: ${sentenceOf({ ...step, masks: [mask], chosen: 0 }, entry.size)}`);
  }

  #commit(changesOf) {
    const line = this.#gallery.current?.timeline;
    const changes = line && changesOf(line.now);
    if (changes) this.#become(timeline.commit(line, changes));
  }

  #become(next, sentence = null) {
    const entry = this.#gallery.current;
    if (next === entry.timeline) return;
    const before = entry.timeline.now.step.id;
    entry.timeline = next;
    if (next.now.step.id !== before && !entry.error) hideAlert();
    this.#desk.render();
    if (sentence) announce(sentence);
    else if (prompts.onlyExcludes(next.now.step)) this.#announceStep(entry);
    this.askCurrent();
  }

  #adopt(found, classOf) {
    const { timeline: line } = adopted(this.#gallery.current.timeline, found, classOf);
    this.#become(line);
    announceKept(line.now.objects.length);
  }

  #announceStep({ timeline: { now }, size }) {
    const sentence = sentenceOf(now.step, size);
    if (sentence) announce(sentence);
  }
}

function announceKept(count, what = "Kept") {
  announce(`${what}. ${count === 1 ? "1 object" : `${count} objects`}.`);
}
