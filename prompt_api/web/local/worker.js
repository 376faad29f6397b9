/** The worker that decodes. */

import { answerCalls } from "../worker-answers.js";
import { Engine } from "./engine.js";
import { Graphs } from "./graphs.js";
import { hasGpu } from "./prompt-side.js";

let engine = null;

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

answerCalls(calls, "local-decoding");
