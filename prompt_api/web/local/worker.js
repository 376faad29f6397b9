/**
 * The worker. It runs one call after the other and answers each once.
 *
 * In: {id, call, given}. Out: {id, value} or {id, problem: {code, status, detail}}.
 */

import { Problem } from "../problems.js";
import { Engine } from "./engine.js";
import { Graphs } from "./graphs.js";
import { hasGpu } from "./prompt-side.js";

let engine = null;
let last = Promise.resolve();

const calls = {
  async load(runtime, files) {
    const graphs = await Graphs.load(await start(runtime, "ort.wasm.min.mjs"), files);
    engine = new Engine(graphs);
    tryGpu(graphs, runtime, files.prompt_side).catch(() => {}); // the processor answers without it
  },
  prepare: (...given) => engine.prepare(...given),
  forget: (image) => engine.forget(image),
  async masks(image, request) {
    const start = performance.now();
    const results = await engine.masks(image, request);
    return { results, milliseconds: performance.now() - start };
  },
};

async function start(runtime, name) {
  const ort = await import(runtime + name);
  ort.env.wasm.wasmPaths = runtime;
  ort.env.logLevel = "error";
  return ort;
}

/** Runs in the background: nothing waits for it. */
async function tryGpu(graphs, runtime, file) {
  if (await hasGpu()) await graphs.tryGpu(await start(runtime, "ort.webgpu.min.mjs"), file);
}

self.addEventListener("message", ({ data }) => {
  // The runtime cannot start a run while another one is running.
  last = last.then(() => answer(data));
});

async function answer({ id, call, given }) {
  try {
    self.postMessage({ id, value: await calls[call](...given) });
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem("local-decoding", { detail: String(error) });
    self.postMessage({ id, problem: { code: problem.code, status: problem.status, detail: problem.detail } });
  }
}
