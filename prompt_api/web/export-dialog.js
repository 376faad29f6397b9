/** The dialog that saves kept objects as files. */

import { closeOnBackdrop } from "./dialogs.js";
import { exportAs, save } from "./exporting.js";
import { announce, showAlert } from "./notices.js";
import { recall, remember } from "./remembered.js";

const TOLERANCE_KEY = "export-tolerance";
const MOST_TOLERANCE = 20;

const find = (id) => document.getElementById(id);

export class ExportDialog {
  #gallery;
  #stage;
  #onSaved;
  #dialog = find("export-dialog");
  #tolerance = find("export-tolerance");

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./stage.js").Stage} stage
   * @param {() => void} onSaved called after objects were saved
   */
  constructor(gallery, stage, onSaved) {
    this.#gallery = gallery;
    this.#stage = stage;
    this.#onSaved = onSaved;
    closeOnBackdrop(this.#dialog);
    this.#tolerance.value = recall(TOLERANCE_KEY) ?? this.#tolerance.defaultValue;
    this.#tolerance.addEventListener("change", () => remember(TOLERANCE_KEY, String(this.#options.tolerance)));
    for (const radio of this.#dialog.querySelectorAll('[name="export-scope"]')) {
      radio.addEventListener("change", () => this.#summarise());
    }
    for (const button of this.#dialog.querySelectorAll("[data-format]")) {
      button.addEventListener("click", () => this.#run(button));
    }
  }

  /** Opens the dialog if there is something to save. */
  open() {
    if (!this.#gallery.entries.some(hasObjects)) return;
    const { current } = this.#gallery;
    const one = find("export-one");
    one.disabled = !current || !hasObjects(current);
    if (one.disabled) find("export-all").checked = true;
    this.#summarise();
    this.#dialog.showModal();
  }

  get #entries() {
    const { entries, current } = this.#gallery;
    return (find("export-one").checked ? [current] : entries).filter(hasObjects);
  }

  get #options() {
    const tolerance = Number(this.#tolerance.value);
    return { tolerance: Number.isFinite(tolerance) ? Math.min(MOST_TOLERANCE, Math.max(0, tolerance)) : 1 };
  }

  #summarise() {
    const list = this.#entries;
    const count = list.reduce((sum, { timeline }) => sum + timeline.now.objects.length, 0);
    find("export-summary").textContent = `${plural(count, "object")} on ${plural(list.length, "picture")}.`;
  }

  /** Writing takes a while. The person may close the dialog and go on meanwhile. */
  async #run(button) {
    button.disabled = true;
    try {
      const { format } = button.dataset;
      const file = format === "view" ? await this.#stage.snapshot() : await this.#write(format);
      save(file);
      announce(`Saved ${file.name}.`);
    } catch (error) {
      showAlert(error);
    } finally {
      this.#showProgress(null);
      button.disabled = false;
      this.#dialog.close();
    }
  }

  async #write(format) {
    const exported = this.#entries.map((entry) => [entry, entry.timeline.now.objects]);
    const pictures = annotated(exported);
    const file = await exportAs(format, pictures, new Date(), this.#options, (share) => this.#showProgress(share));
    for (const [entry, objects] of exported) entry.savedObjects = objects;
    this.#onSaved();
    return file;
  }

  #showProgress(share) {
    find("export-progress").hidden = share === null;
    find("export-progress").value = share ?? 0;
  }
}

/** The pictures with their objects. Those of one name are named with their folders. */
function annotated(exported) {
  const counts = new Map();
  for (const [{ name }] of exported) counts.set(name, (counts.get(name) ?? 0) + 1);
  return exported.map(([{ name, source, size }, objects]) => {
    const path = counts.get(name) > 1 && source.folder ? `${source.folder}/${name}` : name;
    return { name: path, ...size, objects };
  });
}

function hasObjects({ timeline }) {
  return timeline.now.objects.length > 0;
}

function plural(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}
