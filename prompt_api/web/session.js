/** The session as a person sees it: it goes on at the next visit, it says if it is not kept, and it can be started afresh. */

import { pause } from "./api.js";
import { confirmAfresh } from "./dialogs.js";
import { announce, hideAlert, offer, setText, showAlert } from "./notices.js";

/** Seconds to wait for the list of models, so that the pictures are encoded by the model of the last visit at once. */
const MENU_SECONDS = 2;

const find = (id) => document.getElementById(id);

export class Session {
  /** Resolves when the pictures of the last visit are there, or the session is not kept. Never rejects. */
  started = Promise.resolve();
  #keeper;
  #gallery;
  #classes;
  #pictures;
  #labelling;
  #menu;

  constructor({ keeper, gallery, classes, pictures, labelling, menu }) {
    this.#keeper = keeper;
    this.#gallery = gallery;
    this.#classes = classes;
    this.#pictures = pictures;
    this.#labelling = labelling;
    this.#menu = menu;
    find("afresh").addEventListener("click", () => this.#startAfresh());
    window.addEventListener("beforeunload", (event) => {
      if (keeper.state !== "kept" && !gallery.entries.every((entry) => gallery.isSaved(entry))) event.preventDefault();
    });
  }

  /** Goes on where the last visit ended. `steal` takes the session from another tab. */
  start({ steal = false } = {}) {
    this.started = this.#start(steal);
    return this.started;
  }

  /** Tells the person that something is not kept. */
  tell(problem) {
    showAlert(problem);
  }

  /** Shows whether the session is kept. */
  showState() {
    const { state } = this.#keeper;
    find("session-note").dataset.state = state;
    setText("session-note", state === "off" ? "Not kept in this browser." : "Kept in this browser until you start afresh.");
  }

  async #start(steal) {
    try {
      const last = await this.#keeper.start({ steal });
      this.#labelling.restore();
      if (last) await this.#show(last);
    } catch (error) {
      if (error.code === "session-elsewhere") this.#offerToSteal(error);
      else if (error.code !== "session-unavailable") this.tell(error);
    }
    this.showState();
  }

  async #show(last) {
    await Promise.race([this.#menu.show(), pause(MENU_SECONDS)]);
    // A picture that was never shown and whose file is gone cannot be shown.
    for (const entry of [last, ...this.#gallery.entries]) {
      await this.#pictures.show(entry);
      if (this.#gallery.current) return;
    }
  }

  #offerToSteal(error) {
    showAlert(error);
    offer("Go on here", () => this.start({ steal: true }));
  }

  async #startAfresh() {
    const { entries } = this.#gallery;
    const objects = entries.reduce((sum, { timeline }) => sum + timeline.now.objects.length, 0);
    if (!(await confirmAfresh(`${plural(entries.length, "picture")} and ${plural(objects, "object")}`))) return;
    this.#pictures.removeAll();
    this.#keeper.clear();
    this.#classes.restore([], null);
    this.#labelling.restore();
    hideAlert();
    announce("Everything was removed from this browser.");
  }
}

function plural(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}
