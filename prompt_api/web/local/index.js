/** The entry point to decoding in the browser. The other modules are loaded when they are first needed. */

import { Problem } from "../problems.js";

/** The smallest module with an instruction of 128-bit SIMD, which the runtime is built with. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** Whether this browser can decode. */
export async function isSupported() {
  return typeof Worker === "function" && typeof WebAssembly === "object" && WebAssembly.validate(SIMD);
}

/**
 * Asks the service, in one small request, whether it offers what decoding with this model needs.
 * @param {Service} service
 * @param {string} model
 * @returns {Promise<{available: boolean, reason: string}>} `reason`: a sentence if it is not available
 */
export async function availability(service, model) {
  const { status, detail } = await (await parts()).describe(service, model);
  const available = status !== "unavailable";
  return { available, reason: available ? "" : detail };
}

/**
 * Returns a decoder that answers as the service does, see `../decoding.js`.
 * @typedef {{request: (path: string, options?: {signal?: AbortSignal}) => Promise<Response>}} Service
 * @param {Service} service `fetch` for paths relative to the page; rejects with a `Problem`
 */
export function createDecoder(service) {
  let opened = null;
  let closed = false;
  const open = async () => {
    opened ??= parts().then(({ LocalDecoder }) => new LocalDecoder(service));
    const decoder = await opened;
    if (closed) throw new Problem("local-decoding", { detail: "the decoder was closed" });
    return decoder;
  };
  return {
    prepare: async (...given) => (await open()).prepare(...given),
    masks: async (...given) => (await open()).masks(...given),
    close() {
      closed = true;
      opened?.then((decoder) => decoder.close(), () => {});
    },
  };
}

function parts() {
  return import("./decoder.js").catch((error) => {
    throw new Problem("local-decoding", { detail: String(error) });
  });
}
