/** The service's HTTP contract, one function per call. A failure is a `Problem`, and an abort is an AbortError. */

import { authorization, renew } from "./credentials.js";
import { eventData } from "./event-stream.js";
import { Problem } from "./problems.js";

const POLL_SECONDS = 15;
const LOST_POLLS = 4;

/** The longest pause in seconds, even if `Retry-After` asks for more. */
export const LONGEST_PAUSE = 30;

/**
 * Lower-case hex SHA-256 of a file, or null if the browser cannot compute it (on a page without HTTPS).
 * @param {Blob} file
 */
export async function digest(file) {
  if (!globalThis.crypto?.subtle) return null;
  const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Returns the served models, the default first. It never asks a person for a token: it may be called before anybody does
 * anything.
 * @returns {Promise<{name: string, title: string, default: boolean}[]>}
 */
export async function listModels() {
  const response = await fetch("v1/models", { headers: authorization() });
  if (!response.ok) throw new Problem(`http-${response.status}`, { status: response.status });
  return (await response.json()).models;
}

/**
 * Returns the image resource. `wait`: seconds the service may hold the answer until the embedding is ready.
 * `model`: name of a model; null for the default.
 */
export async function getImage(id, { signal, wait = 0, model = null } = {}) {
  const response = await request(withModel(`v1/images/${id}?wait=${wait}`, model), { signal });
  return response.json();
}

/** Returns the JPEG that the service made of an image which not every browser shows. */
export async function getPreview(id, { signal } = {}) {
  const response = await request(`v1/images/${id}/preview`, { signal });
  return response.blob();
}

/** Adds the name of a model to a path, unless it is null. */
function withModel(path, model) {
  if (model === null) return path;
  return `${path}${path.includes("?") ? "&" : "?"}model=${encodeURIComponent(model)}`;
}

/**
 * Uploads a file and returns the image resource.
 * @param {Blob} file
 * @param {{signal?: AbortSignal, onProgress?: (share: number) => void, model?: string|null}} options share is 0-1
 */
export async function uploadImage(file, { signal, onProgress = () => {}, model = null } = {}) {
  return withToken((headers) => send(file, { headers, signal, onProgress, path: withModel("v1/images", model) }));
}

function send(file, { headers, signal, onProgress, path }) {
  return new Promise((resolve, reject) => {
    // XMLHttpRequest, because fetch cannot tell how much of a body has been sent.
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort, { once: true });
    xhr.open("POST", path);
    xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    xhr.onload = () => {
      const body = parse(xhr.responseText);
      if (xhr.status < 300 && body?.image_id) resolve(body);
      else reject(problemFrom(xhr.status, body, xhr.getResponseHeader("Retry-After")));
    };
    xhr.onerror = () => reject(new Problem("offline"));
    xhr.onabort = () => reject(signal?.reason ?? new DOMException("aborted", "AbortError"));
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    xhr.send(file);
  });
}

/**
 * Follows an image until it is `ready` or `failed`: by server-sent events, or by polling if they fail.
 * @returns {Promise<object>} the image resource at the end
 */
export async function followImage(id, { signal, onChange = () => {}, model = null } = {}) {
  return (await streamImage(id, signal, onChange, model)) ?? pollImage(id, signal, onChange, model);
}

/**
 * Sends one request of prompts.
 * @returns {Promise<object>} the body of the answer and `times` in ms: `total` of the call, `inside` of the service
 */
export async function promptMasks(id, body, { signal, model = null } = {}) {
  const start = performance.now();
  const response = await request(withModel(`v1/images/${id}/masks`, model), {
    signal,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  const inside = totalServerTiming(response.headers.get("Server-Timing"));
  return { ...answer, times: { total: performance.now() - start, inside } };
}

/**
 * Has a region of an image encoded.
 * @param {string} id
 * @param {{regions: import("./region.js").Region[]}|{around: number[][]}} wish one region; or the box x0, y0, x1, y1 of one
 *   object, for which the service chooses the region
 * @param {{signal?: AbortSignal, wait?: number, model?: string|null}} options `wait`: seconds the service may hold the
 *   answer until the region is encoded
 * @returns {Promise<{region: import("./region.js").Region|null, status: string,
 *   error: {code: string, detail: string}|null}>} `region` is null if the whole image suits better; `status` as that of an
 *   image
 */
export async function encodeRegion(id, wish, { signal, wait = 0, model = null } = {}) {
  const response = await request(withModel(`v1/images/${id}/regions?wait=${wait}`, model), {
    signal,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
  return (await response.json()).regions[0];
}

/** Sum of the durations in a `Server-Timing` header in ms, or null if it has none. */
export function totalServerTiming(header) {
  const durations = [...(header ?? "").matchAll(/;\s*dur=([0-9.]+)/g)].map((match) => Number(match[1]));
  return durations.length > 0 ? durations.reduce((sum, duration) => sum + duration, 0) : null;
}

/** True if the image is ready or failed, so that it needs no more following. */
export function isSettled(image) {
  return image.status === "ready" || image.status === "failed";
}

/** Returns the settled image, or null if the stream cannot be opened or breaks off. */
async function streamImage(id, signal, onChange, model) {
  try {
    const path = withModel(`v1/images/${id}/events`, model);
    const response = await request(path, { signal, headers: { Accept: "text/event-stream" } });
    for await (const data of eventData(response.body)) {
      const image = parse(data);
      if (!image?.status) continue;
      onChange(image);
      if (isSettled(image)) return image;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error.code === "unauthorized") throw error;
  }
  return null;
}

async function pollImage(id, signal, onChange, model) {
  for (let lost = 0; ; ) {
    try {
      const image = await getImage(id, { signal, wait: POLL_SECONDS, model });
      lost = 0;
      onChange(image);
      if (isSettled(image)) return image;
      // A service without a free thread answers at once and ignores `wait`.
      await pause(1, signal);
    } catch (error) {
      const canWait = error instanceof Problem && (error.code === "offline" || error.status === 503);
      if (!canWait || ++lost === LOST_POLLS) throw error;
      await pause(Math.min(error.retryAfter ?? 2, LONGEST_PAUSE), signal);
    }
  }
}

/** Waits `seconds`, or rejects as soon as `signal` aborts. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * `fetch` for the service: sends the access token, and throws a Problem for every answer that is not a success.
 * @param {string} path relative to the page, such as "v1/models"
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export function request(path, options = {}) {
  return withToken(async (headers) => {
    let response;
    try {
      response = await fetch(path, { ...options, headers: { ...options.headers, ...headers } });
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw new Problem("offline", { detail: String(error) });
    }
    if (response.ok) return response;
    throw problemFrom(response.status, parse(await response.text()), response.headers.get("Retry-After"));
  });
}

/** Calls with the current token. After a refusal, asks for another token and calls again. */
async function withToken(call) {
  for (;;) {
    const headers = authorization();
    try {
      return await call(headers);
    } catch (error) {
      if (error.code !== "unauthorized" || !(await renew(headers))) throw error;
    }
  }
}

function problemFrom(status, body, retryAfter) {
  const seconds = Number.parseFloat(retryAfter);
  return new Problem(body?.code ?? `http-${status}`, {
    status,
    detail: body?.detail ?? "",
    retryAfter: Number.isFinite(seconds) ? seconds : null,
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
