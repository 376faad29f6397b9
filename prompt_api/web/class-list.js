/** The list of classes beside the picture: use, rename, merge, recolour, remove. */

import { KEYS } from "./classes.js";

const find = (id) => document.getElementById(id);

/**
 * @typedef {{onUse: (name: string) => void, onRename: (from: string, to: string) => void,
 *   onRecolour: (name: string, colour: string) => void, onRemove: (name: string) => void}} Wishes
 */

/**
 * Makes the list show the classes; rows that stay keep their focus. It is hidden if there are no classes.
 * @param {import("./class-book.js").ClassBook} book
 * @param {Wishes} wishes
 */
export function showClasses(book, wishes) {
  const { list, current, isCarried } = book;
  const counts = book.counts();
  const element = find("classes");
  find("classes-block").hidden = list.length === 0;
  find("carry").checked = isCarried;
  while (element.children.length > list.length) element.lastElementChild.remove();
  while (element.children.length < list.length) element.append(newRow(wishes));
  list.forEach((one, index) => fill(element.children[index], one, index, one.name === current, counts.get(one.name) ?? 0));
  offer(list.map(({ name }) => name));
}

/** Offers the names in every field for a label. */
function offer(names) {
  const options = find("labels");
  const shown = [...options.children].map(({ value }) => value);
  if (shown.length === names.length && shown.every((value, index) => value === names[index])) return;
  options.replaceChildren(...names.map((value) => Object.assign(document.createElement("option"), { value })));
}

function newRow({ onUse, onRename, onRecolour, onRemove }) {
  const row = find("class-row").content.firstElementChild.cloneNode(true);
  const part = (name) => row.querySelector(name);
  part(".class-use").addEventListener("click", () => onUse(row.dataset.name));
  part(".swatch").addEventListener("change", (event) => onRecolour(row.dataset.name, event.target.value));
  const field = part(".class-name");
  field.addEventListener("change", () => onRename(row.dataset.name, field.value));
  field.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") field.value = row.dataset.name;
    if (key === "Enter" || key === "Escape") find("stage").focus({ preventScroll: true });
  });
  part(".class-remove").addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    onRemove(row.dataset.name);
    (next?.querySelector(".class-use") ?? find("stage")).focus({ preventScroll: true });
  });
  return row;
}

function fill(row, { name, colour }, index, isCurrent, count) {
  const part = (selector) => row.querySelector(selector);
  row.dataset.name = name;
  const [use, field, remove] = [part(".class-use"), part(".class-name"), part(".class-remove")];
  use.textContent = KEYS[index] ?? "·";
  use.setAttribute("aria-pressed", String(isCurrent));
  label(use, KEYS[index] ? `Use ${name}, key ${KEYS[index]}` : `Use ${name}`);
  part(".swatch").value = colour;
  label(part(".swatch"), `Colour of ${name}`);
  if (document.activeElement !== field) field.value = name;
  label(field, `Name of class ${name}`);
  part(".class-count").textContent = String(count);
  remove.hidden = count > 0;
  part(".class-count").hidden = count === 0;
  label(remove, `Remove class ${name}`);
}

function label(element, text) {
  if (element.getAttribute("aria-label") === text) return;
  element.setAttribute("aria-label", text);
  element.title = text;
}
