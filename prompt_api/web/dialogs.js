/** The dialogs: help, export, questions before something is lost, access token. */

import { recall, remember } from "./remembered.js";
import { HELP } from "./shortcuts.js";

const LETTERS_KEY = "single-letter-keys";

const TOKEN_TEXTS = {
  needed: "This service needs an access token. Ask the people who run it.",
  refused: "The service did not accept that token. Try another one.",
  other: "The page uses another token from now on.",
};

const find = (id) => document.getElementById(id);

/** Fills the help and wires its switch. */
export function prepareHelp() {
  find("help-groups").replaceChildren(...HELP.map(helpGroup));
  find("letters").checked = recall(LETTERS_KEY) !== "off";
  find("letters").addEventListener("change", (event) => {
    remember(LETTERS_KEY, event.target.checked ? null : "off");
  });
  closeOnBackdrop(find("help-dialog"));
}

/** Whether keys without Ctrl act as shortcuts. A person who dictates text may turn them off. */
export function lettersWanted() {
  return find("letters").checked;
}

export function showHelp() {
  find("help-dialog").showModal();
}

/**
 * Asks before work is lost.
 * @param {string} name of the picture
 * @param {string} lost what is lost with the picture
 * @returns {Promise<boolean>} true if the person confirms
 */
export function confirmRemoval(name, lost) {
  const text = `You have not exported the latest changes to ${name}, which has ${lost}. Undo does not bring it back.`;
  return confirmed("remove", text);
}

/** Asks before the whole session is removed. @returns {Promise<boolean>} true if the person confirms */
export function confirmAfresh(what) {
  return confirmed("afresh", `${what} are removed from this browser. Nothing brings them back.`);
}

/** Lists files that were left out. @param {{name: string, reason: string}[]} files */
export function showRefused(files) {
  const rows = files.map(({ name, reason }) => {
    const row = document.createElement("li");
    row.append(Object.assign(document.createElement("strong"), { textContent: name }), ` ${reason}`);
    return row;
  });
  find("refused-list").replaceChildren(...rows);
  find("refused-dialog").showModal();
}

/** Asks before two classes become one. @returns {Promise<boolean>} true if the person confirms */
export function confirmMerge(from, to, objects) {
  return confirmed("merge", `${objects} of ${from} become ${to}. Undo does not separate them again.`);
}

/** Asks in the dialog of that name. Its buttons have the values "" and something else, which means yes. */
function confirmed(name, text) {
  const dialog = find(`${name}-dialog`);
  find(`${name}-text`).textContent = text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue !== ""), { once: true });
  });
}

/**
 * Asks for an access token.
 * @param {keyof typeof TOKEN_TEXTS} why
 * @returns {Promise<string|null>} null when the person cancels
 */
export function askForToken(why) {
  const dialog = find("token-dialog");
  find("token-text").textContent = TOKEN_TEXTS[why];
  find("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    const finish = (token) => {
      listening.abort();
      dialog.close();
      resolve(token);
    };
    find("token-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        // A header allows only printable ASCII. Other characters come from copying.
        finish(find("token").value.replace(/[^\x21-\x7e]/g, "") || null);
      },
      { signal },
    );
    find("token-cancel").addEventListener("click", () => finish(null), { signal });
    dialog.addEventListener("cancel", () => finish(null), { signal });
  });
}

/** Closes a dialog when a person clicks beside it. */
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("click", (event) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const outside = event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
    // When a key presses a button in the dialog, the browser reports a click at (0, 0).
    if (outside && event.target === dialog) dialog.close();
  });
}

function helpGroup({ title, rows }) {
  const group = document.createElement("section");
  group.append(Object.assign(document.createElement("h3"), { textContent: title }));
  const list = document.createElement("dl");
  for (const { keys, text } of rows) {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    term.append(...keys.flatMap((together) => [keysElement(together), " "]));
    row.append(term, Object.assign(document.createElement("dd"), { textContent: text }));
    list.append(row);
  }
  group.append(list);
  return group;
}

/** Keys that are pressed together. */
function keysElement(together) {
  const element = Object.assign(document.createElement("span"), { className: "keys" });
  const caps = together.map((textContent) => Object.assign(document.createElement("kbd"), { textContent }));
  element.append(...caps.flatMap((cap, position) => (position > 0 ? [" + ", cap] : [cap])));
  return element;
}
