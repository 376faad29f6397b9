/** The menu of models, which is shown if the service serves several. */

import { listModels } from "./api.js";
import { recall, remember } from "./remembered.js";

const KEY = "model";

export class ModelMenu {
  #select = document.getElementById("model");
  #onChange;
  #isFilled = false;
  #isLoading = false;

  /** @param {() => void} onChange called after another model was chosen */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#select.addEventListener("change", () => {
      remember(KEY, this.chosen);
      onChange();
    });
  }

  /** The name of the chosen model, or null for the service's default. */
  get chosen() {
    return this.#select.selectedIndex > 0 ? this.#select.value : null;
  }

  /** Fills the menu, and chooses the model of the last visit if it is still served. A second call does nothing. */
  async show() {
    if (this.#isFilled || this.#isLoading) return;
    this.#isLoading = true;
    try {
      this.#fill(await listModels());
    } catch {
      // Such as a service that requires a token, which nobody has given yet. The next call tries again.
    } finally {
      this.#isLoading = false;
    }
  }

  #fill(models) {
    this.#isFilled = true;
    if (models.length < 2) return;
    this.#select.replaceChildren(...models.map(({ name, title }) => Object.assign(new Option(name, name), { title })));
    this.#select.hidden = false;
    const kept = recall(KEY);
    if (!models.slice(1).some(({ name }) => name === kept)) return;
    this.#select.value = kept;
    this.#onChange();
  }
}
