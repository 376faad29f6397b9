/**
 * Who answers prompts: the service, or this browser.
 *
 * @typedef {{image_id: string, model: string, width: number, height: number}} Image the image resource
 * @typedef {{results: {masks: import("./prompts.js").Mask[]}[], times: {total: number|null, inside: number|null}}} Answer
 *   as the service answers, and how long it took in ms: in all, and inside the decoder
 * @typedef {object} Decoder
 * @property {(image: Image, options: {signal: AbortSignal, report: (share: number) => void}) => Promise<void>} prepare
 *   gets all that prompts on an image need; `share` (0-1) of it is there
 * @property {(image: Image, request: object, options: {signal: AbortSignal}) => Promise<Answer>} masks
 *   rejects with a Problem: `invalid-prompt` for a mask token it does not know, `local-decoding` when it cannot go on
 * @property {() => void} close frees what it holds
 */

import { promptMasks, request } from "./api.js";

/** @type {Decoder} */
export const service = {
  prepare: async () => {},
  masks: (image, body, options) => promptMasks(image.image_id, body, options),
  close: () => {},
};

/** The module that decodes here, or null where this browser cannot. Nothing heavy is loaded yet. */
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
 * @returns {Promise<{available: boolean, reason: string}>} `reason`: a sentence where it has not
 */
export function localAvailability(local, model) {
  return local.availability({ request }, model);
}

/** @returns {Decoder} that decodes in this browser */
export function createLocal(local) {
  return local.createDecoder({ request });
}
