/** The service's search for similar objects. A failure is a `Problem`, and an abort is an AbortError. */

import { pause, request } from "./api.js";

export { pause };

/**
 * Finds what looks like the examples on an image.
 * @param {import("./decoding.js").Image} image
 * @param {object} body of `alike-search.js`
 * @param {{signal: AbortSignal}} options
 * @returns {Promise<{masks: object[], truncated: boolean}>} the masks by falling similarity
 */
export async function findSimilar({ image_id: id, model }, body, { signal }) {
  const response = await request(`v1/images/${id}/similar?model=${encodeURIComponent(model)}`, {
    signal,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}
