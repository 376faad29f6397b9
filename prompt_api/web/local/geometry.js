/** Coordinate frames: the upright original and the frame whose long side is 1024. All sizes are [height, width]. */

import { FRAME_SIDE } from "./sam1.js";

/**
 * [height, width] in the frame whose long side is 1024, rounded half up, at least one pixel.
 * Source: `shared/contract/frames.py`, after segment_anything's ResizeLongestSide.
 */
export function resizedSize([height, width]) {
  const scale = FRAME_SIDE / Math.max(height, width);
  return [height, width].map((side) => Math.max(1, Math.trunc(side * scale + 0.5)));
}

/**
 * Points of the original in the resized frame.
 * @param {number[][]} points [x, y] each
 * @param {[number, number]} original [height, width]
 * @returns {Float32Array} x and y of each in turn
 */
export function toResizedFrame(points, original) {
  const [height, width] = resizedSize(original);
  const [ratioX, ratioY] = [width / original[1], height / original[0]];
  return Float32Array.from(points.flatMap(([x, y]) => [x * ratioX, y * ratioY]));
}
