/** The list of kept objects beside the picture. */

import { shareOf } from "./choices.js";
import { maskOf } from "./objects.js";

const find = (id) => document.getElementById(id);

/**
 * @typedef {{onLabel: (id: number, label: string) => void, onColour: (id: number, colour: string) => void,
 *   onVisible: (id: number, visible: boolean) => void, onSelect: (id: number) => void,
 *   onAlike: (id: number) => void, onDelete: (id: number) => void, onHighlight: (id: number|null) => void}} Wishes
 */

/**
 * Makes the list show `objects`; rows that stay keep their focus.
 * @param {import("./objects.js").Kept[]} objects
 * @param {{hidden: Set<number>, editing: number|null, selected: number|null, size: {width: number, height: number}}} state
 * @param {Wishes} wishes
 */
export function showObjects(objects, state, wishes) {
  const list = find("objects");
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.id), row]));
  const wanted = objects.map((object) => {
    const row = rows.get(object.id) ?? newRow(object.id, wishes);
    fill(row, object, state);
    return row;
  });
  const focused = document.activeElement;
  if (wanted.length !== list.children.length || wanted.some((row, index) => row !== list.children[index])) {
    list.replaceChildren(...wanted);
    if (list.contains(focused)) focused.focus();
  }
  find("objects-empty").hidden = objects.length > 0;
  find("object-count").hidden = objects.length === 0;
  find("object-count").textContent = String(objects.length);
}

/** Marks the row of the object that is lit on the picture. Null marks none. */
export function markLit(id) {
  for (const row of find("objects").children) row.classList.toggle("is-lit", Number(row.dataset.id) === id);
}

function newRow(id, { onLabel, onColour, onVisible, onSelect, onAlike, onDelete, onHighlight }) {
  const row = find("object-row").content.firstElementChild.cloneNode(true);
  const part = (name) => row.querySelector(name);
  row.dataset.id = String(id);
  part(".swatch").addEventListener("change", (event) => onColour(id, event.target.value));
  const label = part(".object-label");
  label.addEventListener("change", () => onLabel(id, label.value));
  label.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") label.value = row.dataset.label;
    if (key === "Enter" || key === "Escape") find("stage").focus({ preventScroll: true });
  });
  part(".object-show").addEventListener("click", (event) => {
    onVisible(id, event.currentTarget.getAttribute("aria-pressed") !== "true");
  });
  part(".object-edit").addEventListener("click", () => onSelect(id));
  part(".object-alike").addEventListener("click", () => onAlike(id));
  part(".object-delete").addEventListener("click", () => {
    // The focus goes to the row that takes this one's place, not to the top of the page.
    const next = row.nextElementSibling ?? row.previousElementSibling;
    onDelete(id);
    (next?.querySelector(".object-delete") ?? find("stage")).focus({ preventScroll: true });
  });
  for (const event of ["pointerenter", "focusin"]) row.addEventListener(event, () => onHighlight(id));
  for (const event of ["pointerleave", "focusout"]) row.addEventListener(event, () => onHighlight(null));
  return row;
}

function fill(row, { id, label, colour, step }, { hidden, editing, selected, size }) {
  const part = (name) => row.querySelector(name);
  const visible = !hidden.has(id);
  row.classList.toggle("is-hidden", !visible);
  row.classList.toggle("is-selected", selected === id);
  if (editing === id) row.setAttribute("aria-current", "true");
  else row.removeAttribute("aria-current");
  row.dataset.label = label;
  part(".swatch").value = colour;
  part(".object-label").value = label;
  part(".object-label").title = `${shareOf(maskOf({ step }), size)} of the picture`;
  part(".object-show").setAttribute("aria-pressed", String(visible));
  part(".object-edit").setAttribute("aria-pressed", String(editing === id));
  name(part(".swatch"), `Colour of ${label}`);
  name(part(".object-label"), `Label of object ${label}${selected === id ? ", selected" : ""}`, false);
  name(part(".object-show"), `Show ${label}`);
  name(part(".object-alike"), `Find all like ${label}`);
  name(part(".object-edit"), `Change ${label}`);
  name(part(".object-delete"), `Delete ${label}`);
}

function name(element, text, titled = true) {
  element.setAttribute("aria-label", text);
  if (titled) element.title = text;
}
