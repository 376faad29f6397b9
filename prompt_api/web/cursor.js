/** A cursor on the picture that the arrow keys move, so that the keyboard can point wherever the mouse can. */

import { boxBetween, hasArea } from "./gestures.js";
import { isText } from "./shortcuts.js";

/** CSS pixels per press of an arrow key. */
const STRIDE = 20;
const FINE_STRIDE = 2;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {import("./stage.js").Stage} stage
 * @param {import("./gestures.js").Wishes} wishes onHover's places carry `byKeyboard: true`
 * @returns {{reset: () => void, takeKeys: () => void}} `reset` puts the cursor in the middle of a newly opened picture;
 *   `takeKeys` gives the keys to the picture, unless a person writes something
 */
export function listenToCursor(stage, { tool, onPoint, onBox, onBoxDraft, onHover }) {
  const element = stage.element;
  let cross = null;
  let corner = null;
  let isTaking = false;

  const place = () => cross ?? { x: Math.round(stage.size.width / 2), y: Math.round(stage.size.height / 2) };
  const showCross = () => {
    cross = place();
    stage.moveCross(cross.x, cross.y);
    element.classList.add("by-keyboard");
  };
  const show = () => {
    showCross();
    if (corner) onBoxDraft(boxBetween(corner, cross));
    else onHover({ ...cross, since: performance.now(), byKeyboard: true });
  };
  const move = ([dx, dy], fine) => {
    const stride = Math.max(1, Math.round((fine ? FINE_STRIDE : STRIDE) / stage.view.scale));
    const { x, y } = place();
    const { width, height } = stage.size;
    const within = (value, most) => Math.min(most - 1, Math.max(0, value));
    cross = { x: within(x + dx * stride, width), y: within(y + dy * stride, height) };
    show();
  };
  const drop = () => {
    corner = null;
    onBoxDraft(null);
  };
  const setCorner = () => {
    if (!corner) {
      corner = place();
      return show();
    }
    const box = boxBetween(corner, place());
    drop();
    if (hasArea(box)) onBox(box);
  };

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    if (MOVES[event.key]) move(MOVES[event.key], event.shiftKey);
    else if (event.key === "Enter") onPoint({ ...place(), label: event.altKey || tool() === "exclude" ? 0 : 1, onTop: event.shiftKey, byKeyboard: true });
    else if (event.key.toLowerCase() === "b") setCorner();
    else if (event.key === "Escape" && corner) drop();
    else return;
    event.preventDefault();
  });
  element.addEventListener("focus", ({ relatedTarget }) => {
    if (!element.matches(":focus-visible")) return;
    // Who comes back from a text field, or from a button that gave the keys, hears what was done there, and no preview instead.
    if (isTaking || relatedTarget?.matches("input")) showCross();
    else show();
  });
  element.addEventListener("blur", () => {
    drop();
    onHover(null);
  });
  element.addEventListener("pointerdown", () => element.classList.remove("by-keyboard"));
  return {
    reset() {
      cross = corner = null;
      if (element.classList.contains("by-keyboard") && document.activeElement === element) show();
    },
    takeKeys() {
      if (document.querySelector("dialog[open]") || isText(document.activeElement ?? element)) return;
      isTaking = true;
      element.focus({ preventScroll: true });
      isTaking = false;
    },
  };
}
