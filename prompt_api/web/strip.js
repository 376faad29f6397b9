/**
 * The strip of open pictures: for each one a thumbnail, its progress and its marks. Only the frames that are in sight
 * exist, and a few beside them, so that a thousand pictures scroll like ten.
 */

import { isLabelled } from "./gallery.js";
import { setText, wordsFor } from "./notices.js";
import { sentenceFor } from "./problems.js";

/** CSS pixels from one frame to the next, and before the first: as in layout.css. */
const PITCH = 90;
const MARGIN = 4;
/** Frames on each side that exist though they are out of sight. */
const BESIDE = 4;

const find = (id) => document.getElementById(id);

/** What is shown, so that scrolling can show other frames. */
let shown = { entries: [], current: null, wishes: null };
let isListening = false;

/**
 * Makes the strip show these pictures. The strip is hidden if there is only one.
 * @param {import("./gallery.js").Entry[]} entries
 * @param {import("./gallery.js").Entry|null} current
 * @param {{onOpen: (entry: object) => void, onRemove: (entry: object) => Promise<boolean>}} wishes
 */
export function showStrip(entries, current, wishes) {
  shown = { entries, current, wishes };
  find("strip").hidden = entries.length < 2;
  find("strip-list").style.width = `${entries.length * PITCH + 2 * MARGIN}px`;
  if (!isListening) {
    isListening = true;
    find("strip-scroll").addEventListener("scroll", fillWindow, { passive: true });
    new ResizeObserver(fillWindow).observe(find("strip-scroll"));
  }
  const labelled = entries.filter(isLabelled).length;
  setText("position", `${entries.indexOf(current) + 1} of ${entries.length}`);
  setText("labelled", labelled === entries.length ? "all labelled" : `${labelled} labelled`);
  find("done").setAttribute("aria-pressed", String(current?.done ?? false));
  fillWindow();
}

/** Brings the picture's thumbnail into view. */
export function reveal(entry) {
  const scroll = find("strip-scroll");
  const left = shown.entries.indexOf(entry) * PITCH;
  const room = scroll.clientWidth - PITCH - MARGIN;
  if (left < scroll.scrollLeft) scroll.scrollLeft = left;
  else if (left > scroll.scrollLeft + room) scroll.scrollLeft = left - room;
  fillWindow();
}

/** Creates and fills the frames in sight, and removes the others. A frame with the focus stays. */
function fillWindow() {
  const { entries, current, wishes } = shown;
  const scroll = find("strip-scroll");
  const list = find("strip-list");
  const first = Math.max(0, Math.floor(scroll.scrollLeft / PITCH) - BESIDE);
  const last = Math.min(entries.length, Math.ceil((scroll.scrollLeft + scroll.clientWidth) / PITCH) + BESIDE);
  const items = new Map([...list.children].map((item) => [Number(item.dataset.id), item]));
  const wanted = [];
  entries.forEach((entry, index) => {
    let item = items.get(entry.id);
    const hasFocus = item?.contains(document.activeElement);
    if ((index < first || index >= last) && !hasFocus) return;
    item ??= newItem(entry, wishes);
    place(item, index, entries.length);
    fill(item, entry, entry === current);
    wanted.push(item);
  });
  if (wanted.length === list.children.length && wanted.every((item, index) => item === list.children[index])) return;
  // Only what differs is moved, so that the focus stays where it is.
  for (const item of list.querySelectorAll(":scope > li")) if (!wanted.includes(item)) item.remove();
  wanted.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
}

function place(item, index, count) {
  item.style.left = `${MARGIN + index * PITCH}px`;
  item.setAttribute("aria-posinset", String(index + 1));
  item.setAttribute("aria-setsize", String(count));
}

function newItem(entry, { onOpen, onRemove }) {
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
  const label = `${entry.name}, ${text}${entry.done ? ", done" : ""}`;
  if (open.getAttribute("aria-label") !== label) {
    open.setAttribute("aria-label", label);
    open.title = label;
  }
  item.dataset.state = kind;
  item.querySelector(".frame-state").textContent = short;
  item.querySelector(".frame-done").hidden = !entry.done;
  const bar = item.querySelector(".frame-bar");
  bar.hidden = kind !== "busy";
  bar.style.setProperty("--share", share === null ? "" : String(share));
  if (entry.thumbnail && item.thumbnail !== entry.thumbnail) drawThumbnail(item, entry.thumbnail);
}

/** Draws a thumbnail: the middle of the picture fills the frame. */
async function drawThumbnail(item, thumbnail) {
  item.thumbnail = thumbnail;
  const bitmap = await createImageBitmap(thumbnail).catch(() => null);
  if (!bitmap) return;
  const canvas = item.querySelector("canvas");
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  bitmap.close();
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
