/** The strip of open pictures: for each one a thumbnail, its progress and its number of objects. */

import { wordsFor } from "./notices.js";
import { sentenceFor } from "./problems.js";

const find = (id) => document.getElementById(id);

/**
 * Makes the strip show these pictures. The strip is hidden if there is only one.
 * @param {import("./gallery.js").Entry[]} entries
 * @param {import("./gallery.js").Entry|null} current
 * @param {{onOpen: (entry: object) => void, onRemove: (entry: object) => Promise<boolean>}} wishes
 */
export function showStrip(entries, current, { onOpen, onRemove }) {
  find("strip").hidden = entries.length < 2;
  const list = find("strip-list");
  const items = new Map([...list.children].map((item) => [Number(item.dataset.id), item]));
  const wanted = entries.map((entry) => {
    const item = items.get(entry.id) ?? newItem(entry, onOpen, onRemove);
    fill(item, entry, entry === current);
    return item;
  });
  if (wanted.length !== list.children.length || wanted.some((item, index) => item !== list.children[index])) {
    list.replaceChildren(...wanted);
  }
}

/** Draws a picture's thumbnail: the middle of the picture fills the frame. */
export function drawThumbnail(entry, bitmap) {
  const canvas = itemOf(entry)?.querySelector("canvas");
  if (!canvas) return;
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

/** Brings the picture's thumbnail into view. */
export function reveal(entry) {
  itemOf(entry)?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function newItem(entry, onOpen, onRemove) {
  const item = find("strip-item").content.firstElementChild.cloneNode(true);
  item.dataset.id = String(entry.id);
  item.querySelector(".frame-open").addEventListener("click", () => onOpen(entry));
  const remove = item.querySelector(".frame-remove");
  remove.setAttribute("aria-label", `Remove ${entry.name}`);
  remove.title = `Remove ${entry.name}`;
  remove.addEventListener("click", async () => {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    if (await onRemove(entry)) next?.querySelector(".frame-open").focus({ preventScroll: true });
  });
  return item;
}

function fill(item, entry, isCurrent) {
  const open = item.querySelector(".frame-open");
  if (isCurrent) open.setAttribute("aria-current", "true");
  else open.removeAttribute("aria-current");
  const { text, short, kind, share } = stateOf(entry);
  open.setAttribute("aria-label", `${entry.name}, ${text}`);
  open.title = `${entry.name}: ${text}`;
  item.dataset.state = kind;
  item.querySelector(".frame-state").textContent = short;
  const bar = item.querySelector(".frame-bar");
  bar.hidden = kind !== "busy";
  bar.style.setProperty("--share", share === null ? "" : String(share));
}

function stateOf(entry) {
  if (entry.error) return { text: sentenceFor(entry.error), short: "!", kind: "failed", share: null };
  if (entry.progress) {
    const { text, note, share } = wordsFor(entry.progress);
    return { text: note ? `${text}, ${note}` : text, short: "", kind: "busy", share };
  }
  const count = entry.timeline.now.objects.length;
  const text = count === 1 ? "1 object" : `${count} objects`;
  return { text, short: count > 0 ? String(count) : "", kind: "ready", share: null };
}

function itemOf(entry) {
  return find("strip-list").querySelector(`[data-id="${entry.id}"]`);
}
