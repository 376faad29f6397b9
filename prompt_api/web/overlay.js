/** Paints a mask into a canvas: tinted inside, a bright line along its edge. */

import { decodeRuns, rasterize } from "./rle.js";

/** Looks of a mask: RGBA, 0-255. The edge is as wide as `edgeWidth`, in CSS pixels. */
export const SOLID = { fill: [38, 108, 255, 105], edge: [255, 255, 255, 255], edgeWidth: 1.5 };
export const FAINT = { fill: [38, 108, 255, 70], edge: [255, 255, 255, 150], edgeWidth: 1 };

const TILE = 64;
const decoded = new WeakMap();

/**
 * Replaces what `canvas` shows by a window of a mask. The canvas keeps its size.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./prompts.js").Mask} mask
 * @param {{x: number, y: number, width: number, height: number}} window part of the picture that fills the
 *   canvas, in pixels of the picture
 * @param {typeof SOLID} look
 * @param {number} density canvas pixels per CSS pixel
 */
export function paintMask(canvas, mask, window, look, density) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const part = coveredPart(canvas, mask.bbox, window);
  if (!part) return;
  const cells = rasterize(runsOf(mask), mask.rle.size, part.window, part.width, part.height);
  const edge = Math.max(1, Math.round(look.edgeWidth * density));
  context.putImageData(colourise(cells, part, look, edge), part.left, part.top);
}

function runsOf(mask) {
  let runs = decoded.get(mask);
  if (!runs) decoded.set(mask, (runs = decodeRuns(mask.rle.counts)));
  return runs;
}

/** The whole canvas pixels that the mask's bounding box touches, and the window of the picture under them. */
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
    width: right - left,
    height: bottom - top,
    window: {
      x: window.x + left / across,
      y: window.y + top / down,
      width: (right - left) / across,
      height: (bottom - top) / down,
    },
    // Where the mask ends only because the canvas does, there is no edge to draw.
    open: { left: left === 0, top: top === 0, right: right === canvas.width, bottom: bottom === canvas.height },
  };
}

function colourise(cells, { width, height, open }, look, edge) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const fill = packed(look.fill);
  const line = packed(look.edge);
  const framed = withFrame(cells, width, height, open, edge);
  const column = height + 2 * edge;
  const step = edge * column;
  // Cells are column-major and pixels row-major: in tiles, both stay in the processor's cache.
  for (let left = 0; left < width; left += TILE) {
    const right = Math.min(left + TILE, width);
    for (let top = 0; top < height; top += TILE) {
      const bottom = Math.min(top + TILE, height);
      for (let x = left; x < right; x++) {
        for (let y = top, at = (x + edge) * column + edge + top, to = top * width + x; y < bottom; y++, at++, to += width) {
          if (framed[at] === 0) continue;
          const inside = framed[at - edge] & framed[at + edge] & framed[at - step] & framed[at + step];
          pixels[to] = inside ? fill : line;
        }
      }
    }
  }
  return image;
}

/** The cells with a frame `edge` wide that counts as mask on the open sides, so that no edge is seen there. */
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
