/** The picture with everything drawn on it: photo, kept objects, mask, points, box, the keyboard's cross. */

import { FAINT, SOLID, lookOf, offeredLookOf, paintMasks } from "./overlay.js";
import { Photo, resizeCanvas } from "./photo.js";
import * as viewport from "./viewport.js";

const LONGEST_SIDE = 2048;

export class Stage {
  #root;
  #picture;
  #photo;
  #photoCanvas;
  #kept;
  #found;
  #overlay;
  #marks;
  #cross;
  #circle;
  #size = { width: 1, height: 1 };
  #frame = { left: 0, top: 0, width: 1, height: 1 };
  #view = { scale: 1, left: 0, top: 0, fitted: true };
  #isShowing = false;
  #objects = [];
  #foundLayers = [];
  #shown = null;
  #waiting = new Set();
  #onView;

  /**
   * @param {Document} document
   * @param {(view: viewport.View) => void} onView called after each change of zoom or position
   */
  constructor(document, onView) {
    const find = (id) => document.getElementById(id);
    this.#root = find("stage");
    this.#picture = find("picture");
    this.#photoCanvas = find("photo");
    this.#photo = new Photo(this.#photoCanvas, () => this.#soon("photo"));
    this.#kept = find("kept");
    this.#found = find("found");
    this.#overlay = find("overlay");
    this.#marks = find("marks");
    this.#cross = find("cross");
    this.#circle = find("brush-circle");
    this.#onView = onView;
    new ResizeObserver(() => this.#measure()).observe(this.#root);
    for (const event of ["scroll", "resize"]) window.addEventListener(event, () => this.#locate(), { passive: true });
  }

  get element() {
    return this.#root;
  }

  /** Pixels of the upright original. */
  get size() {
    return this.#size;
  }

  get view() {
    return this.#view;
  }

  /** What a person sees of the picture. @returns {import("./region.js").Visible} */
  get visible() {
    return { window: this.#window, density: this.#view.scale * devicePixelRatio };
  }

  get isZoomed() {
    return viewport.isZoomed(this.#view, this.#size, this.#frame);
  }

  /**
   * Shows another picture, without masks, points or box.
   * @param {{width: number, height: number, bitmap: ImageBitmap}} picture the stage does not close the bitmap
   * @param {string} name
   * @param {viewport.View|null} view the view when the picture was last left, or null for the whole picture
   * @param {() => Promise<ImageBitmap>} openSharp called once if a person zooms in beyond the bitmap's pixels
   */
  show({ width, height, bitmap }, name, view, openSharp) {
    this.#photo.show(bitmap, openSharp);
    this.#isShowing = true;
    this.#size = { width, height };
    this.#root.setAttribute("aria-label", `Picture ${name}, ${width} by ${height} pixels`);
    this.#objects = [];
    this.#shown = null;
    this.drawPrompt([], null);
    this.#measure();
    this.#look(view ? viewport.reframe(view, this.#size, this.#frame) : viewport.fit(this.#size, this.#frame));
    this.drawMask(null);
  }

  /** Releases the picture's bitmap. The caller may close it afterwards. */
  forget() {
    this.#photo.forget();
  }

  /** Draws a mask over the picture, or none if it is null. `faint` draws it as a preview. */
  drawMask(mask, { faint = false } = {}) {
    this.#shown = mask && { mask, look: faint ? FAINT : SOLID };
    this.#overlay.dataset.state = mask ? (faint ? "preview" : "mask") : "empty";
    this.#paintOverlay();
  }

  /** Draws a mask that changes with each move of the pointer, at the screen's next frame. */
  drawStroke(mask) {
    this.#shown = { mask, look: SOLID, isMoving: true };
    this.#overlay.dataset.state = "stroke";
    this.#soon("overlay");
  }

  /** Shows the outline of a round brush around a place, in pixels of the picture. Null hides it. */
  moveCircle(place, diameter = 0) {
    this.#circle.hidden = place === null;
    if (place === null) return;
    this.#place(this.#circle, place.x, place.y);
    this.#circle.style.width = `${(diameter / this.#size.width) * 100}%`;
  }

  /** @param {{mask: import("./prompts.js").Mask, colour: string, strong: boolean}[]} objects the last one on top */
  drawKept(objects) {
    this.#objects = objects.map(({ mask, colour, strong }) => ({ mask, look: lookOf(colour, strong) }));
    this.#kept.dataset.count = String(objects.length);
    this.#soon("kept");
  }

  /** Draws masks that are offered, below the kept objects. @param {{mask: import("./prompts.js").Mask, colour: string}[]} masks the last one on top */
  drawFound(masks) {
    this.#foundLayers = masks.map(({ mask, colour }) => ({ mask, look: offeredLookOf(colour) }));
    this.#found.dataset.count = String(masks.length);
    this.#soon("found");
  }

  /** Draws the points and the box of the current prompt. */
  drawPrompt(points, box) {
    const marks = points.map(({ x, y, label }) => {
      const mark = document.createElement("span");
      mark.className = `point ${label ? "include" : "exclude"}`;
      this.#place(mark, x, y);
      return mark;
    });
    this.#marks.replaceChildren(...marks);
    if (box) this.#marks.prepend(this.#boxElement(box));
  }

  /** Moves the keyboard's cross to (x, y), in pixels of the picture, and moves the view so that it is seen. */
  moveCross(x, y) {
    this.#place(this.#cross, x, y);
    this.#look(viewport.reveal(this.#view, { x, y }, this.#size, this.#frame));
  }

  /** Returns a place on the screen in picture pixels, to a tenth, clamped to the picture; `inside`: it was inside. */
  toPicture(clientX, clientY) {
    const { x, y } = viewport.toPicture(this.#view, this.#toFrame(clientX, clientY));
    const { width, height } = this.#size;
    const within = (value, most) => Math.round(Math.min(most, Math.max(0, value)) * 10) / 10;
    return { x: within(x, width), y: within(y, height), inside: x >= 0 && y >= 0 && x <= width && y <= height };
  }

  /** Returns a place on the screen in picture pixels, exactly; it may lie outside the picture. */
  toPlane(clientX, clientY) {
    return viewport.toPicture(this.#view, this.#toFrame(clientX, clientY));
  }

  /** Zooms around a place on the screen, or around the middle. */
  zoomBy(factor, place = null) {
    const at = place ? this.#toFrame(place.clientX, place.clientY) : this.#middle;
    this.#look(viewport.zoomAt(this.#view, factor, at, this.#size, this.#frame));
  }

  panBy(dx, dy) {
    this.#look(viewport.panBy(this.#view, dx, dy, this.#size, this.#frame));
  }

  fit() {
    this.#look(viewport.fit(this.#size, this.#frame));
  }

  showActualSize() {
    this.#look(viewport.actualSize(this.#view, this.#middle, this.#size, this.#frame));
  }

  /** Draws a small picture of a mask and its surroundings, for the list of choices. */
  thumbnail(canvas, mask, window) {
    const { bitmap } = this.#photo;
    const across = bitmap.width / this.#size.width;
    const down = bitmap.height / this.#size.height;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const part = [window.x * across, window.y * down, window.width * across, window.height * down];
    context.drawImage(bitmap, ...part, 0, 0, canvas.width, canvas.height);
    const layer = document.createElement("canvas");
    layer.width = canvas.width;
    layer.height = canvas.height;
    paintMasks(layer, [{ mask, look: SOLID }], window, 2);
    context.drawImage(layer, 0, 0);
  }

  /** The part of the picture in view with its masks, as a PNG file. @returns {Promise<{name: string, blob: Blob}>} */
  async snapshot() {
    this.#paintWaiting();
    const { left, top, scale } = this.#view;
    const { width, height } = this.#frame;
    const [x0, y0] = [Math.max(0, left), Math.max(0, top)];
    const [x1, y1] = [Math.min(width, left + this.#size.width * scale), Math.min(height, top + this.#size.height * scale)];
    const density = Math.max(this.#fineDensity, 1);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [x1 - x0, y1 - y0].map((side) => Math.max(1, Math.round(side * density)));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const isPreview = this.#shown?.look === FAINT;
    for (const layer of [this.#photoCanvas, this.#kept, ...(isPreview ? [] : [this.#overlay])]) {
      const [across, down] = [layer.width / width, layer.height / height];
      const part = [x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down];
      context.drawImage(layer, ...part, 0, 0, canvas.width, canvas.height);
    }
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    return { name: "view.png", blob };
  }

  get #middle() {
    return { x: this.#frame.width / 2, y: this.#frame.height / 2 };
  }

  #toFrame(clientX, clientY) {
    return { x: clientX - this.#frame.left, y: clientY - this.#frame.top };
  }

  #locate() {
    const { left, top, width, height } = this.#root.getBoundingClientRect();
    this.#frame = { left, top, width: Math.max(1, width), height: Math.max(1, height) };
  }

  #measure() {
    this.#locate();
    if (this.#isShowing) this.#look(viewport.reframe(this.#view, this.#size, this.#frame));
  }

  #look(view) {
    this.#view = view;
    const { width, height } = this.#size;
    Object.assign(this.#picture.style, {
      left: `${view.left}px`,
      top: `${view.top}px`,
      width: `${width * view.scale}px`,
      height: `${height * view.scale}px`,
    });
    this.#root.dataset.zoomed = String(this.isZoomed);
    this.#onView(view);
    for (const layer of ["photo", "found", "kept", "overlay"]) this.#soon(layer);
  }

  /** Paints a layer at the screen's next frame, so that several changes are painted once. */
  #soon(layer) {
    if (this.#waiting.size === 0) requestAnimationFrame(() => this.#paintWaiting());
    this.#waiting.add(layer);
  }

  #paintWaiting() {
    const layers = [...this.#waiting];
    // Cleared first, so that a failure loses only this frame.
    this.#waiting.clear();
    if (layers.includes("photo")) this.#photo.paint(this.#view, this.#size, this.#frame);
    // There may be thousands of them, so speed matters more than a smooth edge.
    if (layers.includes("found")) paint(this.#found, this.#foundLayers, this.#window, Math.min(1, this.#fineDensity), this.#frame);
    if (layers.includes("kept")) paint(this.#kept, this.#objects, this.#window, this.#fineDensity, this.#frame);
    if (layers.includes("overlay")) this.#paintOverlay();
  }

  get #window() {
    return viewport.windowOf(this.#view, this.#frame);
  }

  /** At least two canvas pixels per CSS pixel: scaling them down smooths the edge of a mask. */
  get #fineDensity() {
    return Math.min(Math.max(devicePixelRatio, 2), LONGEST_SIDE / Math.max(this.#frame.width, this.#frame.height));
  }

  #paintOverlay() {
    // A preview or a stroke follows the pointer, so speed matters more than a smooth edge.
    const isMoving = this.#shown?.look === FAINT || this.#shown?.isMoving;
    const density = isMoving ? Math.min(devicePixelRatio, this.#fineDensity) : this.#fineDensity;
    paint(this.#overlay, this.#shown ? [this.#shown] : [], this.#window, density, this.#frame);
    this.#waiting.delete("overlay");
  }

  #boxElement([x0, y0, x1, y1]) {
    const element = document.createElement("span");
    element.className = "box";
    this.#place(element, x0, y0);
    element.style.width = `${((x1 - x0) / this.#size.width) * 100}%`;
    element.style.height = `${((y1 - y0) / this.#size.height) * 100}%`;
    return element;
  }

  #place(element, x, y) {
    element.style.left = `${(x / this.#size.width) * 100}%`;
    element.style.top = `${(y / this.#size.height) * 100}%`;
  }
}

function paint(canvas, layers, window, density, frame) {
  resizeCanvas(canvas, frame, density);
  if (canvas.width > 0 && canvas.height > 0) paintMasks(canvas, layers, window, density);
}
