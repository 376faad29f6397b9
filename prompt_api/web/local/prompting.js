/** Turns a request for masks into the decoder's inputs. Refuses an invalid prompt as the service does. */

import { Problem } from "../problems.js";
import { toResizedFrame } from "./geometry.js";

const PADDING = -1;
const CORNERS = [2, 3];

/**
 * Checks and returns the prompts of the body of `POST …/masks`.
 * @param {{prompts: object[], format?: string}} request
 * @param {[number, number]} size [height, width] of the original
 * @throws {Problem} `invalid-prompt`
 */
export function checkedPrompts({ prompts, format = "rle" }, size) {
  if (format !== "rle") throw refused("a mask that is decoded in the browser is given as rle");
  return prompts.map(({ points, labels, box, mask_token: token, ...others }) => {
    const prompt = { points: points ?? [], labels: labels ?? [], box: box ?? null, token: token ?? null };
    if (Object.keys(others).length > 0) throw refused(`${Object.keys(others)[0]} cannot be decoded in the browser`);
    check(prompt, size);
    return prompt;
  });
}

/**
 * The same prompt in the frame of a part of the image.
 * @param {import("./refinement.js").Prompt} prompt in pixels of the image
 * @param {[number, number]} corner [x, y] of the part's first pixel in the image
 */
export function inPart(prompt, [x, y]) {
  const { points, box } = prompt;
  const moved = points.map(([across, down]) => [across - x, down - y]);
  return { ...prompt, points: moved, box: box && [box[0] - x, box[1] - y, box[2] - x, box[3] - y] };
}

function check({ points, labels, box, token }, [height, width]) {
  if (points.length !== labels.length) throw refused("labels must hold exactly one label per point");
  if (points.length === 0 && !box && !token) throw refused("give at least one of points, box, mask_token");
  if (box && !(box[0] < box[2] && box[1] < box[3])) throw refused("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1");
  for (const [x, y] of box ? [...points, box.slice(0, 2), box.slice(2)] : points) {
    if (!(x >= -width && x <= 2 * width && y >= -height && y <= 2 * height)) {
      throw refused(`(${x}, ${y}) is more than one image size outside the ${width}x${height} image`);
    }
  }
}

/**
 * Points and labels of all sparse tokens, in the order of segment_anything's `PromptEncoder.forward`. Points without a
 * box are followed by a padding point. The corners of a box come last. A mask without points and box has no tokens.
 * @param {{points: number[][], labels: number[], box: number[]|null}} prompt in pixels of the original
 * @param {[number, number]} size [height, width] of the original
 * @returns {{points: Float32Array, labels: Float32Array}} points in the frame whose long side is 1024, x and y in turn
 */
export function sparseTokens({ points, labels, box }, size) {
  const corners = box ? [box.slice(0, 2), box.slice(2)] : [];
  const placed = toResizedFrame([...points, ...corners], size);
  if (box) return { points: placed, labels: Float32Array.from([...labels, ...CORNERS]) };
  if (points.length === 0) return { points: placed, labels: new Float32Array(0) };
  if (labels.some((label) => label > 1)) return { points: Float32Array.from(placed), labels: Float32Array.from(labels) };
  return { points: Float32Array.from([...placed, 0, 0]), labels: Float32Array.from([...labels, PADDING]) };
}

function refused(detail) {
  return new Problem("invalid-prompt", { status: 422, detail });
}
