/** The picture with everything drawn on it: photo, mask, points, box, the keyboard's cross. */

import { FAINT, SOLID, paintMask } from "./overlay.js";

const LONGEST_SIDE = 2048;

export class Stage {
  #root;
  #photo;
  #overlay;
  #marks;
  #cross;
  #size = { width: 1, height: 1 };
  #shown = null;

  /** @param {Document} document with the elements `picture`, `photo`, `overlay`, `marks`, `cross` */
  constructor(document) {
    const find = (id) => document.getElementById(id);
    this.#root = find("picture");
    this.#photo = find("photo");
    this.#overlay = find("overlay");
    this.#marks = find("marks");
    this.#cross = find("cross");
    new ResizeObserver(() => this.#paint()).observe(this.#root);
  }

  get element() {
    return this.#root;
  }

  /** Pixels of the upright original. */
  get size() {
    return this.#size;
  }

  /** Shows another picture, without any mark. */
  show({ width, height, bitmap }, name) {
    this.#size = { width, height };
    this.#root.style.setProperty("--ratio", String(width / height));
    this.#root.setAttribute("aria-label", `Picture ${name}, ${width} by ${height} pixels`);
    this.#photo.width = bitmap.width;
    this.#photo.height = bitmap.height;
    this.#photo.getContext("2d").drawImage(bitmap, 0, 0);
    this.drawMask(null);
    this.drawPrompt([], null);
  }

  /** A mask over the picture, or none. `faint` is the look of a preview. */
  drawMask(mask, { faint = false } = {}) {
    this.#shown = mask && { mask, look: faint ? FAINT : SOLID };
    this.#overlay.dataset.state = mask ? (faint ? "preview" : "mask") : "empty";
    this.#paint();
  }

  /** The points and the box of the current prompt. */
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

  /** The keyboard's cross at (x, y), in pixels of the picture. */
  moveCross(x, y) {
    this.#place(this.#cross, x, y);
  }

  /** A place on the screen as pixels of the picture, kept inside it, to a tenth of a pixel. */
  toPicture(clientX, clientY) {
    const frame = this.#root.getBoundingClientRect();
    const within = (share, length) => Math.round(Math.min(1, Math.max(0, share)) * length * 10) / 10;
    return {
      x: within((clientX - frame.left) / frame.width, this.#size.width),
      y: within((clientY - frame.top) / frame.height, this.#size.height),
    };
  }

  /** A small picture of a mask and what lies around it, to choose by. */
  thumbnail(canvas, mask, window) {
    const across = this.#photo.width / this.#size.width;
    const down = this.#photo.height / this.#size.height;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(
      this.#photo,
      window.x * across,
      window.y * down,
      window.width * across,
      window.height * down,
      0,
      0,
      canvas.width,
      canvas.height,
    );
    const layer = document.createElement("canvas");
    layer.width = canvas.width;
    layer.height = canvas.height;
    paintMask(layer, mask, window, SOLID, 2);
    context.drawImage(layer, 0, 0);
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

  /** Draws the mask at about the resolution of the screen: no work for pixels that nobody sees. */
  #paint() {
    const { width, height } = this.#root.getBoundingClientRect();
    // Twice the pixels of a plain screen: scaled down, the edge comes out smooth.
    const density = Math.min(Math.max(devicePixelRatio, 2), LONGEST_SIDE / Math.max(width, height, 1));
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (this.#overlay.width !== w || this.#overlay.height !== h) {
      this.#overlay.width = w;
      this.#overlay.height = h;
    }
    if (w === 0 || h === 0) return;
    if (this.#shown) {
      paintMask(this.#overlay, this.#shown.mask, { x: 0, y: 0, ...this.#size }, this.#shown.look, density);
    } else {
      this.#overlay.getContext("2d").clearRect(0, 0, w, h);
    }
  }
}
