/** The switch that lets this browser answer prompts instead of the service. */

import { createLocal, findLocal, localAvailability, service } from "./decoding.js";
import { setText } from "./notices.js";
import { asSentence } from "./problems.js";
import { recall, remember } from "./remembered.js";

const KEY = "local-decoding";

export class LocalSwitch {
  #input = document.getElementById("local");
  #onDecoder;
  #local = null;
  #checked = null;
  #decoder = service;

  /** @param {(decoder: import("./decoding.js").Decoder) => void} onDecoder called with each decoder that is chosen */
  constructor(onDecoder) {
    this.#onDecoder = onDecoder;
    this.#input.addEventListener("change", () => this.#turn(this.#input.checked));
  }

  /** Shows the switch if this browser can decode, turned on if it was on at the last visit. */
  async show() {
    this.#local = await findLocal();
    if (!this.#local) return;
    document.getElementById("local-row").hidden = false;
    if (recall(KEY) === "on") this.#turn(true);
  }

  /** Disables the switch, and shows the reason, if the service cannot give this model to the browser. */
  async check(model) {
    if (!this.#local || model === this.#checked) return;
    this.#checked = model;
    // A failed request may pass, so the switch stays enabled. Turning it on reports the problem if it remains.
    const { available, reason } = await localAvailability(this.#local, model).catch(() => ({ available: true, reason: "" }));
    this.#input.disabled = !available;
    setText("local-note", asSentence(reason));
    if (!available && this.#input.checked) this.turnOff();
  }

  turnOff() {
    this.#turn(false);
  }

  #turn(on) {
    remember(KEY, on ? "on" : null);
    this.#input.checked = on;
    this.#decoder.close();
    this.#decoder = on ? createLocal(this.#local) : service;
    this.#onDecoder(this.#decoder);
  }
}
