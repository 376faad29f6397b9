/** Light or dark: follows the system until the person chooses. */

import { recall, remember } from "./remembered.js";

const KEY = "appearance";

/** Applies the choice of an earlier visit and listens to the button. */
export function listenToTheme(button) {
  const root = document.documentElement;
  const chosen = recall(KEY);
  if (chosen) root.dataset.theme = chosen;
  button.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
    if (next === system) delete root.dataset.theme;
    else root.dataset.theme = next;
    remember(KEY, next === system ? null : next);
  });
}
