/** Fetches what decoding needs, only once, and hands it to the worker, which answers prompts. */

import { pause } from "../api.js";
import { Problem } from "../problems.js";
import { WorkerCalls } from "../worker-calls.js";
import { bodyOf, Progress } from "./download.js";
import { EMBEDDING_SHAPE } from "./sam1.js";

/** How many images and regions stay prepared. Each takes about 30 MB. */
const IMAGES = 3;

const EMBEDDING_BYTES = EMBEDDING_SHAPE.reduce((product, side) => product * side, 2);

/** How often and how long, in seconds, to ask again while the service itself still fetches the runtime. */
const POLL = 1;
const PATIENCE = 180;

/**
 * What the service says about decoding with this model in browsers: `BrowserDecoder` of its OpenAPI document.
 * @param {import("./index.js").Service} service
 */
export async function describe(service, model, signal) {
  return (await service.request(`v1/models/${model}/decoder`, { signal })).json();
}

export class LocalDecoder {
  #service;
  #progress = new Progress();
  /** The graphs that are loaded or being loaded: {weights, calls, ready}. */
  #loaded = null;
  /**
   * By image or region, the least recently used first: {prepared, isThere}. `isThere` is true once `prepared` has
   * resolved.
   */
  #images = new Map();

  /** @param {import("./index.js").Service} service */
  constructor(service) {
    this.#service = service;
  }

  /**
   * Loads everything that prompts on `image`, or on a region of it, need, or waits until a load that is under way ends.
   * @param {object} image the image resource
   * @param {{signal?: AbortSignal, report?: (share: number) => void, region?: import("../region.js").Region|null}}
   *   [options] the signal ends the waiting, not the fetching
   */
  async prepare(image, { signal, report = () => {}, region = null } = {}) {
    signal?.throwIfAborted();
    // Prompts outside the region need the whole image, so it is kept as long as its regions.
    if (region) this.#renew(nameOf(image));
    const name = nameOf(image, region);
    const held = this.#images.get(name) ?? this.#prepare(image, region);
    this.#images.set(name, held);
    this.#renew(name);
    await this.#progress.during(unlessAborted(held.prepared, signal), report);
  }

  /**
   * Returns the answer to a request, as `POST …/masks` does.
   * @param {object} image the image resource
   * @param {object} request
   */
  async masks(image, request, { signal } = {}) {
    const start = performance.now();
    const { region = null } = request;
    const name = nameOf(image, region);
    while (true) {
      await this.prepare(image, { signal, region });
      // This image may have been forgotten while others were prepared.
      if (this.#images.has(name)) break;
    }
    const answer = this.#loaded.calls.ask("masks", [name, request]);
    const { results, milliseconds } = await unlessAborted(answer, signal);
    const { image_id, model, width, height } = image;
    const times = { total: performance.now() - start, inside: milliseconds };
    return { image_id, model, width, height, region, results, times };
  }

  close() {
    this.#loaded?.calls.end("the decoder was closed");
    this.#loaded = null;
    this.#images.clear();
  }

  #prepare(image, region) {
    const name = nameOf(image, region);
    const held = { prepared: this.#fetchAndPrepare(image, region, name), isThere: false };
    held.prepared.then(
      () => {
        held.isThere = true;
        this.#forgetOldest();
      },
      () => this.#images.get(name) === held && this.#images.delete(name),
    );
    return held;
  }

  async #fetchAndPrepare(image, region, name) {
    const description = await this.#whenReady(image.model);
    const weights = description.weights_digest;
    this.#progress.expect(EMBEDDING_BYTES);
    const loaded = this.#load(description, name);
    const part = region ? `&region=${region}` : "";
    const path = `v1/images/${image.image_id}/embedding?model=${image.model}&weights=${weights}${part}`;
    const embedding = this.#service.request(path).then((response) => bodyOf(response, this.#progress.count));
    // Both load at the same time. The first failure is thrown.
    const [file] = await Promise.all([embedding, loaded.ready]);
    await loaded.calls.ask("prepare", [name, file, [image.height, image.width], region], [file]);
  }

  async #whenReady(model) {
    for (let waited = 0; ; waited += POLL) {
      const description = await describe(this.#service, model);
      if (description.status === "ready") return description;
      if (description.status === "unavailable" || waited > PATIENCE) {
        throw new Problem("local-decoding", { detail: description.detail });
      }
      await pause(POLL);
    }
  }

  /** Returns the graphs of these weights. Drops those of other weights, and all their images except `name`. */
  #load({ model, weights_digest: weights, runtime, parts, digest }, name) {
    if (this.#loaded?.weights !== weights) {
      if (this.#loaded) {
        this.#loaded.calls.end("the model has other weights now");
        for (const other of this.#images.keys()) if (other !== name) this.#images.delete(other);
      }
      const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module", name: "decoding" });
      const calls = new WorkerCalls(worker, "local-decoding");
      const fetched = Object.entries(parts).map(async ([part, size]) => {
        this.#progress.expect(size);
        const response = await this.#service.request(`v1/models/${model}/decoder/${digest}/${part}.onnx`);
        return [part, await bodyOf(response, this.#progress.count)];
      });
      const base = new URL(`../runtime/${runtime}/`, import.meta.url).href;
      const ready = Promise.all(fetched).then((files) =>
        calls.ask("load", [base, Object.fromEntries(files)], files.map(([, file]) => file)),
      );
      this.#loaded = { weights, calls, ready };
      ready.catch(() => this.#loaded?.ready === ready && this.close());
    }
    return this.#loaded;
  }

  /** Makes an image or region the most recently used one. */
  #renew(name) {
    const held = this.#images.get(name);
    if (this.#images.delete(name)) this.#images.set(name, held);
  }

  #forgetOldest() {
    // Skip images that are still loading: the worker would be told before it has them, and would keep them.
    const there = [...this.#images].filter(([, { isThere }]) => isThere);
    for (const [name] of there.slice(0, -IMAGES)) {
      this.#images.delete(name);
      this.#loaded?.calls.ask("forget", [name]).catch(() => {});
    }
  }
}

function nameOf({ model, image_id }, region = null) {
  return `${model}/${image_id}${region ? `@${region}` : ""}`;
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as it aborts. */
async function unlessAborted(promise, signal) {
  if (!signal) return promise;
  signal.throwIfAborted();
  let abort;
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
