/** Shows the state of the open picture: marks, masks, objects, buttons, facts. Reads the state and never changes it. */

import { showChoices } from "./choices.js";
import { setText, showProgress } from "./notices.js";
import { markLit, showObjects } from "./object-list.js";
import { maskOf } from "./objects.js";
import { chosenMask, isBlank, onlyExcludes } from "./prompts.js";
import { showStrip } from "./strip.js";
import { shownStep } from "./timeline.js";

const find = (id) => document.getElementById(id);

export class Desk {
  #stage;
  #gallery;
  #wishes;
  #highlighted = null;
  #edited = null;
  #painted = null;

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {import("./gallery.js").Gallery} gallery
   * @param {{onChoose: (index: number) => void} & import("./object-list.js").Wishes &
   *   {onOpen: (entry: object) => void, onRemove: (entry: object) => Promise<boolean>, onRender: () => void, onStrip: () => void,
   *   hint: () => string|null}} wishes
   *   `onRender` is called after each change of state has been shown, `onStrip` after changes beside the open picture;
   *   `hint` returns what a person can do now, or null for what a prompt allows
   */
  constructor(stage, gallery, wishes) {
    this.#stage = stage;
    this.#gallery = gallery;
    this.#wishes = { ...wishes, onHighlight: (id) => this.highlight(id) };
  }

  /** Shows the room for a picture, or the welcome. The stage measures this room before it shows a picture. */
  showRoom() {
    const isOpen = this.#gallery.current !== null;
    for (const id of ["desk", "add", "add-folder", "export"]) find(id).hidden = !isOpen;
    find("welcome").hidden = isOpen;
  }

  /** Shows everything again, after any change of state. */
  render() {
    const entry = this.#gallery.current;
    this.showRoom();
    find("export").disabled = !this.#gallery.entries.some(({ timeline }) => timeline.now.objects.length > 0);
    this.renderStrip();
    if (entry) this.#renderPicture(entry);
    this.#wishes.onRender();
  }

  #renderPicture(entry) {
    const { step, editing } = entry.timeline.now;
    const shown = shownStep(entry.timeline);
    this.#stage.drawPrompt(step.points, step.box);
    this.#stage.drawMask(chosenMask(shown));
    this.#drawObjects(entry);
    showChoices(shown, shown.id !== step.id, this.#stage, this.#wishes.onChoose);
    this.#renderControls(entry, step, editing);
    this.#fillLabel(entry, editing);
    const { hidden, selected, size } = entry;
    showObjects(entry.timeline.now.objects, { hidden, editing, selected, size }, this.#wishes);
    this.#renderFacts(entry);
  }

  /** Shows the strip and the progress card again, after a step of some encoding. */
  renderStrip() {
    const { entries, current } = this.#gallery;
    showStrip(entries, current, this.#wishes);
    showProgress(current?.progress ?? null);
    this.#wishes.onStrip();
  }

  /** Shows the mask under the pointer before the person asks for it. Null removes it. */
  showPreview(mask) {
    this.#stage.drawMask(mask, { faint: true });
  }

  /** Shows a box that is being drawn. Null shows the box of the prompt. */
  showDraft(box) {
    if (!this.#gallery.current) return;
    const { step } = this.#gallery.current.timeline.now;
    this.#stage.drawPrompt(step.points, box ?? step.box);
  }

  /** Shows how long the last prompt took, in milliseconds. */
  showTimes({ total, inside }, isLocal) {
    const part = inside === null ? "" : ` · ${isLocal ? "decoding" : "service"} ${round(inside)} ms`;
    setText("latency", total === null ? "" : `Last prompt ${round(total)} ms${part}`);
  }

  /** Shows a mask that is being painted in the place of a kept object, or of the present mask. Null ends that. */
  showStroke(mask, target) {
    const isNew = target !== this.#painted;
    this.#painted = target;
    if (isNew && this.#gallery.current) this.#drawObjects(this.#gallery.current);
    if (mask) this.#stage.drawStroke(mask);
  }

  /** Lights one kept object, on the picture and in the list. Null lights none. */
  highlight(id) {
    if (id === this.#highlighted) return;
    this.#highlighted = id;
    if (this.#gallery.current) this.#drawObjects(this.#gallery.current);
  }

  /** Draws the kept objects without the one being edited, which is drawn as the present mask. */
  #drawObjects({ timeline, hidden, selected }) {
    const { objects, editing } = timeline.now;
    const isLit = ({ id }) => id === this.#highlighted || id === selected;
    const drawn = objects.filter((object) => {
      if (object.id === editing || object.id === this.#painted) return false;
      return !hidden.has(object.id) || object.id === this.#highlighted;
    });
    const layer = (object) => ({ mask: maskOf(object), colour: object.colour, strong: isLit(object) });
    markLit(this.#highlighted);
    this.#stage.drawKept(drawn.map(layer));
  }

  #renderControls({ timeline, image, selected }, step, editing) {
    enable("undo", timeline.past.length > 0);
    enable("redo", timeline.future.length > 0);
    enable("clear", !isBlank(step));
    enable("keep", chosenMask(step) !== null);
    setText("keep", editing === null ? "Keep" : "Update");
    const object = timeline.now.objects.find(({ id }) => id === editing);
    setText("masks-title", object ? `Mask of ${object.label}` : "Mask");
    setText("hint", this.#wishes.hint() ?? hintFor(step, image !== null, timeline.now.objects.some(({ id }) => id === selected)));
  }

  /** Fills in the label of an object when its editing starts, and again if it is renamed in the list meanwhile. */
  #fillLabel({ id, timeline }, editing) {
    const object = timeline.now.objects.find((other) => other.id === editing);
    const edited = object ? JSON.stringify([id, object.id, object.label]) : null;
    if (object && edited !== this.#edited) find("label").value = object.label;
    this.#edited = edited;
  }

  #renderFacts({ name, size, image, origin }) {
    setText("name", name);
    setText("about", [`${size.width} × ${size.height}`, ...(image ? [image.model] : [])].join(" · "));
    setText("origin", origin);
  }
}

/** A button that is disabled while it has the focus passes it to the picture, so that the keyboard still works. */
function enable(id, enabled) {
  const button = find(id);
  if (!enabled && document.activeElement === button) find("stage").focus({ preventScroll: true });
  button.disabled = !enabled;
}

function hintFor(step, ready, isSelected) {
  const touch = matchMedia("(pointer: coarse)").matches;
  const { tool } = find("stage").dataset;
  if (tool === "brush") return isBlank(step) && !isSelected ? "Draw what belongs to the object." : "Draw over what is missing.";
  if (tool === "erase") return "Draw over what is too much.";
  if (isBlank(step) && isSelected) {
    return touch
      ? "Brush and Eraser change the selected object."
      : "A double click changes the object, the brush too. Delete removes it. G finds all like it.";
  }
  if (isBlank(step)) {
    return touch ? "Tap on something in the picture." : "Click on something in the picture, or drag a box around it.";
  }
  if (onlyExcludes(step)) return touch ? "Now tap on the object." : "Now click on the object, or drag a box around it.";
  if (!ready) return "The answer comes as soon as the picture is encoded.";
  return touch
    ? "Tap what is missing. With Remove, tap what is too much."
    : "Click what is missing, right-click what is too much.";
}

function round(milliseconds) {
  return milliseconds < 10 ? milliseconds.toFixed(1) : String(Math.round(milliseconds));
}
