/** Paints masks into a canvas: a tint inside and a bright line along the edge. */

import { decodeRuns, rasterize } from "./rle.js";

/**
 * How a mask looks: RGBA, 0-255. `edgeWidth` is the width of the edge in CSS pixels, `isDashed`: the edge has gaps.
 * @typedef {{fill: number[], edge: number[], edgeWidth: number, isDashed?: boolean}} Look
 */

/** @type {Look} */
export const SOLID = { fill: [38, 108, 255, 105], edge: [255, 255, 255, 255], edgeWidth: 1.5 };
/** @type {Look} */
export const FAINT = { fill: [38, 108, 255, 70], edge: [255, 255, 255, 150], edgeWidth: 1 };

const TILE = 64;
/** A dash and a gap of a dashed edge are both two to the power of this long, in canvas pixels down or across. */
const DASH_BITS = 2;
const decoded = new WeakMap();

/**
 * The look of a kept object.
 * @param {string} colour "#rrggbb"
 * @param {boolean} strong true if it stands out from the others
 * @returns {Look}
 */
export function lookOf(colour, strong) {
  const rgb = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return { fill: [...rgb, strong ? 150 : 90], edge: [...rgb, 255], edgeWidth: strong ? 2.5 : 1.5 };
}

/** The look of a mask that is offered and not kept. @param {string} colour "#rrggbb" @returns {Look} */
export function offeredLookOf(colour) {
  return { ...lookOf(colour, false), edgeWidth: 2.5, isDashed: true };
}

/**
 * Clears `canvas` and paints the part of the masks inside `window`, later masks on top. Does not resize the canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {{mask: import("./prompts.js").Mask, look: Look}[]} layers
 * @param {{x: number, y: number, width: number, height: number}} window part of the picture's plane that fills
 *   the canvas, in pixels of the picture
 * @param {number} density canvas pixels per CSS pixel
 */
export function paintMasks(canvas, layers, window, density) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const parts = layers.map(({ mask }) => coveredPart(canvas, mask.bbox, window));
  const image = imageOver(parts.filter(Boolean));
  if (!image) return;
  for (const [index, { mask, look }] of layers.entries()) {
    const part = parts[index];
    if (!part) continue;
    const cells = rasterize(runsOf(mask), mask.rle.size, part.window, part.width, part.height);
    colourise(image, cells, part, look, Math.max(1, Math.round(look.edgeWidth * density)));
  }
  context.putImageData(image.data, image.left, image.top);
}

/** Tells the run lengths of a mask whose string is not written yet. */
export function rememberRuns(mask, runs) {
  decoded.set(mask, runs);
}

function runsOf(mask) {
  let runs = decoded.get(mask);
  if (!runs) decoded.set(mask, (runs = decodeRuns(mask.rle.counts)));
  return runs;
}

/** The whole canvas pixels that the mask's bounding box touches, and the part of the picture under them. */
function coveredPart(canvas, [x, y, width, height], window) {
  const across = canvas.width / window.width;
  const down = canvas.height / window.height;
  const left = Math.max(0, Math.floor((x - window.x) * across));
  const top = Math.max(0, Math.floor((y - window.y) * down));
  const right = Math.min(canvas.width, Math.ceil((x + width - window.x) * across));
  const bottom = Math.min(canvas.height, Math.ceil((y + height - window.y) * down));
  if (width === 0 || height === 0 || right <= left || bottom <= top) return null;
  return {
    left,
    top,
    right,
    bottom,
    width: right - left,
    height: bottom - top,
    window: {
      x: window.x + left / across,
      y: window.y + top / down,
      width: (right - left) / across,
      height: (bottom - top) / down,
    },
    // A mask that the canvas cuts off has no edge there.
    open: { left: left === 0, top: top === 0, right: right === canvas.width, bottom: bottom === canvas.height },
  };
}

/** An empty image that covers all parts, or null if there are no parts. */
function imageOver(parts) {
  if (parts.length === 0) return null;
  const [left, top] = [Math.min(...parts.map((part) => part.left)), Math.min(...parts.map((part) => part.top))];
  const [right, bottom] = [Math.max(...parts.map((part) => part.right)), Math.max(...parts.map((part) => part.bottom))];
  const data = new ImageData(right - left, bottom - top);
  return { data, pixels: new Uint32Array(data.data.buffer), left, top };
}

function colourise(image, cells, { left: partLeft, top: partTop, width, height, open }, look, edge) {
  const stride = image.data.width;
  const origin = (partTop - image.top) * stride + partLeft - image.left;
  const fill = packed(look.fill);
  const line = packed(look.edge);
  const gap = look.isDashed ? fill : line;
  const framed = withFrame(cells, width, height, open, edge);
  const column = height + 2 * edge;
  const step = edge * column;
  // Cells are column-major and pixels are row-major. Tiles keep both in the processor's cache.
  for (let left = 0; left < width; left += TILE) {
    const right = Math.min(left + TILE, width);
    for (let top = 0; top < height; top += TILE) {
      const bottom = Math.min(top + TILE, height);
      for (let x = left; x < right; x++) {
        for (let y = top, at = (x + edge) * column + edge + top, to = origin + top * stride + x; y < bottom; y++, at++, to += stride) {
          if (framed[at] === 0) continue;
          const inside = framed[at - edge] & framed[at + edge] & framed[at - step] & framed[at + step];
          image.pixels[to] = inside ? fill : ((x + y) >> DASH_BITS) & 1 ? gap : line;
        }
      }
    }
  }
}

/** Adds a frame of `edge` cells. It counts as mask on the open sides, so that no edge is drawn there. */
function withFrame(cells, width, height, open, edge) {
  const column = height + 2 * edge;
  const framed = new Uint8Array((width + 2 * edge) * column);
  for (let x = 0; x < width; x++) {
    const start = (x + edge) * column;
    framed.set(cells.subarray(x * height, (x + 1) * height), start + edge);
    if (open.top) framed.fill(1, start, start + edge);
    if (open.bottom) framed.fill(1, start + edge + height, start + column);
  }
  if (open.left) framed.fill(1, 0, edge * column);
  if (open.right) framed.fill(1, (width + edge) * column);
  return framed;
}

function packed(rgba) {
  return new Uint32Array(new Uint8ClampedArray(rgba).buffer)[0];
}
