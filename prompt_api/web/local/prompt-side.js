/**
 * Runs the prompt side on the processor, or on a GPU if that proves to give the same masks faster.
 *
 * The result on a GPU depends on its driver, so it cannot be tested in advance. The processor answers the first
 * prompts. The GPU runs them as well, and the results are compared.
 */

/** The least IoU with the processor's masks that counts as equal. */
const EQUAL = 0.999;

/** How many prompts may show that the GPU is faster. One is too few: a prompt that comes meanwhile slows it down. */
const TRIALS = 3;

/** Whether there is a GPU that is not simulated on the processor. */
export async function hasGpu(gpu = globalThis.navigator?.gpu) {
  try {
    const adapter = await gpu?.requestAdapter();
    return Boolean(adapter) && !adapter.info?.isFallbackAdapter && adapter.info?.architecture !== "swiftshader";
  } catch {
    return false;
  }
}

export class PromptSide {
  #processor;
  #now;
  #candidate = null;
  #trials = TRIALS;
  #gpu = null;

  /**
   * @param {object} session a session of the runtime on the processor
   * @param {() => number} now milliseconds
   */
  constructor(session, now = () => performance.now()) {
    this.#processor = session;
    this.#now = now;
  }

  /** True when prompts run on the GPU. */
  get usesGpu() {
    return this.#gpu !== null;
  }

  /** @param {object} session a session of the runtime on a GPU, to be tried */
  tryGpu(session) {
    this.#candidate = session;
  }

  /** Takes and returns what a session's own `run` does. */
  async run(inputs) {
    try {
      if (this.#gpu) return await this.#gpu.run(inputs);
    } catch {
      this.#gpu = null; // the device was lost: it went to sleep, or its driver was restarted
    }
    const start = this.#now();
    const answer = await this.#processor.run(inputs);
    this.#prove(inputs, answer, this.#now() - start);
    return answer;
  }

  async #prove(inputs, expected, milliseconds) {
    const session = this.#candidate;
    if (!session || !expected.logits.data.some((value) => value > 0)) return; // an empty mask proves nothing
    this.#candidate = null; // one trial at a time
    try {
      if (this.#trials === TRIALS) await session.run(inputs); // compiles its shaders
      const start = this.#now();
      const answer = await session.run(inputs);
      const isFaster = this.#now() - start < milliseconds;
      if (!areSameMasks(expected, answer)) this.#trials = 0;
      else if (isFaster) this.#gpu = session;
      else if (--this.#trials > 0) this.#candidate = session;
    } catch {
      this.#trials = 0; // it cannot run on this GPU, so the processor goes on
    }
    if (this.#trials === 0) await session.release().catch(() => {});
  }
}

function areSameMasks(one, other) {
  const count = one.scores.data.length;
  const each = one.logits.data.length / count;
  if (other.logits.data.length !== one.logits.data.length) return false;
  return Array.from({ length: count }, (_, index) => index * each).every(
    (start) => overlap(one.logits.data, other.logits.data, start, start + each) >= EQUAL,
  );
}

/** IoU of two masks: of the places where logits are above 0. */
function overlap(one, other, start, end) {
  let both = 0;
  let either = 0;
  for (let k = start; k < end; k++) {
    both += one[k] > 0 && other[k] > 0;
    either += one[k] > 0 || other[k] > 0;
  }
  return either === 0 ? 1 : both / either;
}
