/** Draws the photo under the masks: from a small bitmap, or from a sharp one where that shows more. */

/** From this zoom on, a person wants to see the picture's own pixels, so they are not smoothed. */
const PIXELS_SHOW = 4;
const MOST_DENSITY = 2;

export class Photo {
  #canvas;
  #onSharp;
  #source = null;

  /** @param {HTMLCanvasElement} canvas @param {() => void} onSharp called when the photo can be drawn better */
  constructor(canvas, onSharp) {
    this.#canvas = canvas;
    this.#onSharp = onSharp;
  }

  /** The bitmap of the whole picture; its owner closes it. */
  get bitmap() {
    return this.#source.bitmap;
  }

  /**
   * @param {ImageBitmap} bitmap
   * @param {() => Promise<ImageBitmap>} openSharp called once if a person zooms in beyond the bitmap's pixels
   */
  show(bitmap, openSharp) {
    this.forget();
    this.#source = { bitmap, openSharp, sharp: null };
  }

  /** Call this before closing the bitmap. What was painted last stays on the canvas. */
  forget() {
    this.#source?.sharp?.close();
    this.#source = null;
  }

  /**
   * @param {import("./viewport.js").View} view
   * @param {import("./viewport.js").Size} picture pixels of the upright original
   * @param {import("./viewport.js").Size} frame CSS pixels
   */
  paint(view, picture, frame) {
    if (!this.#source) return;
    const density = Math.min(devicePixelRatio, MOST_DENSITY);
    resizeCanvas(this.#canvas, frame, density);
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.imageSmoothingEnabled = view.scale < PIXELS_SHOW;
    context.imageSmoothingQuality = "high";
    const place = [view.left, view.top, picture.width * view.scale, picture.height * view.scale];
    context.drawImage(this.#bitmapFor(view.scale * density, picture), ...place.map((length) => length * density));
  }

  /** The bitmap to draw at `scale` screen pixels per picture pixel. Opens the sharp one when it first shows more. */
  #bitmapFor(scale, picture) {
    const source = this.#source;
    const has = source.bitmap.width / picture.width;
    if (has >= 1 || scale <= has) return source.bitmap;
    if (source.openSharp) {
      const { openSharp } = source;
      source.openSharp = null;
      openSharp().then(
        (sharp) => this.#useSharp(source, sharp),
        () => {}, // the file is gone or memory is short, so the small bitmap stays
      );
    }
    return source.sharp ?? source.bitmap;
  }

  #useSharp(source, sharp) {
    // The person may have opened another picture meanwhile.
    if (source !== this.#source) return sharp.close();
    source.sharp = sharp;
    this.#onSharp();
  }
}

/** Gives a canvas `density` pixels per CSS pixel of its frame. Does not set an equal size, which would clear it. */
export function resizeCanvas(canvas, frame, density) {
  const [width, height] = [Math.round(frame.width * density), Math.round(frame.height * density)];
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
}
