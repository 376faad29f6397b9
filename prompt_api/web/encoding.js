/** Makes sure that the service has a picture's embedding: asks by hash, uploads if needed, follows the encoding. */

import { Problem, isForgotten, isTemporary } from "./problems.js";

const TRIES = 5;

/**
 * @typedef {{step: "reading"} | {step: "uploading", share: number} | {step: "queued", position: number|null} |
 *   {step: "encoding"} | {step: "without-worker", model: string} | {step: "backing-off", error: Problem, seconds: number}} Progress
 */

/**
 * @param {typeof import("./api.js")} api
 * @param {Blob|(() => Promise<Blob>)} file a function is called only if the file is needed
 * @param {{signal: AbortSignal, report: (progress: Progress) => void, model?: string|null, hash?: string|null}} options
 *   `model`: the name of the model that encodes it; null for the default. `hash`: the SHA-256 of the file, if known
 * @returns {Promise<{image: object, uploaded: boolean}>} `uploaded` is false if the service already had the picture
 */
export async function ensureEncoded(api, file, { signal, report, model = null, hash = null }) {
  report({ step: "reading" });
  const open = async () => (typeof file === "function" ? file() : file);
  const id = hash ?? (await api.digest(await open()));
  signal.throwIfAborted();

  const find = async () => {
    try {
      const image = await api.getImage(id, { signal, model });
      // A recorded failure counts as unknown, because uploading starts a new attempt.
      return image.status === "failed" ? null : image;
    } catch (error) {
      if (isForgotten(error)) return null;
      throw error;
    }
  };
  const onProgress = (share) => report({ step: "uploading", share });
  const upload = async () => api.uploadImage(await open(), { signal, onProgress, model });
  const follow = (image) => {
    reportStatus(image, report);
    if (api.isSettled(image)) return image;
    return api.followImage(image.image_id, { signal, onChange: (next) => reportStatus(next, report), model });
  };
  const patiently = (call) => backingOff(call, { api, signal, report });

  const known = id ? await patiently(find) : null;
  try {
    if (known) return { image: settled(await patiently(() => follow(known))), uploaded: false };
  } catch (error) {
    if (!isForgotten(error)) throw error;
  }
  const image = await patiently(upload);
  return { image: settled(await patiently(() => follow(image))), uploaded: true };
}

function reportStatus(image, report) {
  const waits = image.status === "queued" || image.status === "encoding";
  if (waits && image.workers === 0) report({ step: "without-worker", model: image.model });
  else if (image.status === "queued") report({ step: "queued", position: image.queue_position ?? null });
  else if (image.status === "encoding") report({ step: "encoding" });
}

function settled(image) {
  if (image.status === "ready") return image;
  throw new Problem(image.error?.code ?? "encode-failed", { detail: image.error?.detail ?? "" });
}

async function backingOff(call, { api, signal, report }) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!isTemporary(error) || attempt === TRIES) throw error;
      const seconds = Math.min(error.retryAfter ?? 2 ** attempt, api.LONGEST_PAUSE);
      report({ step: "backing-off", error, seconds });
      await api.pause(seconds, signal);
    }
  }
}
