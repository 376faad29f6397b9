/**
 * The two decoders that answer prompts: the service and this browser.
 *
 * @typedef {{image_id: string, model: string, width: number, height: number}} Image the image resource
 * @typedef {{results: {masks: import("./prompts.js").Mask[]}[], times: {total: number|null, inside: number|null}}} Answer
 *   `results` as the service answers them; `times` in ms: of the whole request, and inside the decoder
 * @typedef {object} Decoder
 * @property {(image: Image, options: {signal: AbortSignal, report?: (share: number) => void,
 *   region?: import("./region.js").Region|null}) => Promise<void>} prepare loads everything that prompts on an image need,
 *   or prompts on a region of it; `report` is told which share (0-1) is loaded
 * @property {(image: Image, request: object, options: {signal: AbortSignal}) => Promise<Answer>} masks
 *   rejects with a Problem: `invalid-prompt` for an unknown mask token, `local-decoding` when it cannot go on
 * @property {() => void} close frees what it holds
 */

import { promptMasks, request } from "./api.js";

/** @type {Decoder} */
export const service = {
  prepare: async () => {},
  masks: (image, body, options) => promptMasks(image.image_id, body, { ...options, model: image.model }),
  close: () => {},
};

/** Returns the module that decodes in this browser, or null if the browser cannot. Loads nothing heavy yet. */
export async function findLocal() {
  try {
    const local = await import("./local/index.js");
    return (await local.isSupported()) ? local : null;
  } catch {
    return null;
  }
}

/**
 * Whether the service has what this browser needs.
 * @returns {Promise<{available: boolean, reason: string}>} `reason`: a sentence, if the model is not available
 */
export function localAvailability(local, model) {
  return local.availability({ request }, model);
}

/** @returns {Decoder} that decodes in this browser */
export function createLocal(local) {
  return local.createDecoder({ request });
}
