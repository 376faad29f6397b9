/** Coordinate frames: the upright original and the frame whose long side is 1024. All sizes are [height, width]. */

/** Side in pixels of the square, zero-padded frame the image encoder sees. */
export const IMAGE_SIZE = 1024;

/** Side in pixels of the low-res logits; they cover the padded frame. */
export const LOW_RES_SIZE = 256;

/**
 * [height, width] in the frame whose long side is 1024, rounded half up, at least one pixel.
 * Source: `shared/contract/geometry.py`, after segment_anything's ResizeLongestSide.
 */
export function resizedSize([height, width]) {
  const scale = IMAGE_SIZE / Math.max(height, width);
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
