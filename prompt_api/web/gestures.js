/** Turns mouse, pen and touch on the picture into points, boxes and hovers. Zooms and pans the stage itself. */

import { isBrush } from "./brush.js";

const DRAG_PIXELS = 6;
const TAP_PIXELS = 12;
/** Zoom per pixel of the wheel. A pinch on a touchpad arrives as a wheel event with Ctrl and small steps. */
const WHEEL_RATE = 0.0018;
const PINCH_RATE = 0.01;
const LINE_PIXELS = 16;

/** Buttons of a mouse or a pen that draw a stroke: the first one, the second one, and the far end of a pen. */
const STROKE_BUTTONS = [0, 2, 5];

/**
 * @typedef {{begin: (place: {x: number, y: number}, isOther: boolean) => void,
 *   extend: (places: {x: number, y: number}[]) => void, finish: () => void, cancel: () => void}} Strokes
 *   places are exact and may lie outside the picture; `isOther`: the brush is to erase, the eraser to paint
 * @typedef {{tool: () => "include"|"exclude"|"box"|"brush"|"erase", strokes: Strokes,
 *   onPoint: (point: import("./prompts.js").Point & {onTop: boolean}) => void,
 *   onTwice: (place: {x: number, y: number}) => void, onBox: (box: number[]) => void, onBoxDraft: (box: number[]|null) => void,
 *   onHover: (place: {x: number, y: number, since: number}|null) => void}} Wishes
 *   `since` is the time of the event, on the clock of performance.now()
 */

/**
 * @param {import("./stage.js").Stage} stage
 * @param {Wishes} wishes
 */
export function listenToPointers(stage, { tool, strokes, onPoint, onTwice, onBox, onBoxDraft, onHover }) {
  const element = stage.element;
  const fingers = new Map();
  let spaceHeld = false;
  /** What the pressed pointer is doing: null, or {kind: "press" | "box" | "stroke" | "pan" | "pinch", …}. */
  let gesture = null;

  const end = () => {
    if (gesture?.kind === "box") onBoxDraft(null);
    if (gesture?.kind === "stroke") strokes.cancel();
    gesture = null;
    showCursor();
  };
  const showCursor = () => {
    element.dataset.grab = gesture?.kind === "pan" ? "grabbing" : spaceHeld ? "ready" : "";
  };

  element.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    element.setPointerCapture(event.pointerId);
    if (fingers.size === 2) {
      end();
      gesture = { kind: "pinch", ...spread(fingers) };
    } else if (event.isPrimary && (event.button === 1 || (spaceHeld && event.button === 0))) {
      event.preventDefault();
      gesture = { kind: "pan" };
      onHover(null);
      showCursor();
    } else if (event.isPrimary && isBrush(tool()) && STROKE_BUTTONS.includes(event.button)) {
      gesture = { kind: "stroke" };
      strokes.begin(stage.toPlane(event.clientX, event.clientY), event.altKey || event.button !== 0);
    } else if (event.isPrimary) {
      gesture = { kind: "press", clientX: event.clientX, clientY: event.clientY };
    }
  });

  element.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) {
      if (event.pointerType !== "touch") hover(event);
      return;
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (gesture?.kind === "pinch") pinch();
    else if (gesture?.kind === "pan") stage.panBy(event.clientX - last.x, event.clientY - last.y);
    else if (gesture?.kind === "stroke") strokes.extend(wayOf(event).map((at) => stage.toPlane(at.clientX, at.clientY)));
    else if (gesture?.kind === "press") pull(event);
    else if (gesture?.kind === "box") draw(event);
  });

  const hover = (event) => {
    const { x, y, inside } = stage.toPicture(event.clientX, event.clientY);
    onHover(inside && !spaceHeld ? { x, y, since: event.timeStamp } : null);
  };

  const pinch = () => {
    if (fingers.size < 2) return;
    const now = spread(fingers);
    stage.panBy(now.clientX - gesture.clientX, now.clientY - gesture.clientY);
    stage.zoomBy(now.distance / gesture.distance, now);
    gesture = { kind: "pinch", ...now };
  };

  const pull = (event) => {
    const { clientX, clientY } = gesture;
    const touch = event.pointerType === "touch";
    if (Math.hypot(event.clientX - clientX, event.clientY - clientY) <= (touch ? TAP_PIXELS : DRAG_PIXELS)) return;
    if (touch && tool() !== "box") {
      gesture = { kind: "pan" };
    } else if (touch || event.buttons & 1) {
      gesture = { kind: "box", from: stage.toPicture(clientX, clientY), box: null };
      draw(event);
    }
  };

  const draw = (event) => {
    gesture.box = boxBetween(gesture.from, stage.toPicture(event.clientX, event.clientY));
    onBoxDraft(gesture.box);
  };

  element.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (gesture?.kind === "pinch" && fingers.size > 0) return;
    const ended = gesture;
    if (ended?.kind === "stroke") {
      gesture = null;
      strokes.finish();
    }
    end();
    if (ended?.kind === "box" && hasArea(ended.box)) onBox(ended.box);
    if (ended?.kind !== "press") return;
    const { x, y, inside } = stage.toPicture(ended.clientX, ended.clientY);
    const away = event.button === 2 || event.altKey || event.ctrlKey || tool() === "exclude";
    if (inside) onPoint({ x, y, label: away ? 0 : 1, onTop: event.shiftKey });
  });
  element.addEventListener("dblclick", (event) => {
    const { x, y, inside } = stage.toPicture(event.clientX, event.clientY);
    if (inside) onTwice({ x, y });
  });

  element.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    end();
  });
  element.addEventListener("pointerleave", () => onHover(null));
  element.addEventListener("contextmenu", (event) => event.preventDefault());

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PIXELS : 1;
      const [dx, dy] = [event.deltaX * pixels, event.deltaY * pixels];
      if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) stage.panBy(-dx, event.shiftKey && dx === 0 ? -dy : 0);
      else stage.zoomBy(Math.exp(-dy * (event.ctrlKey ? PINCH_RATE : WHEEL_RATE)), event);
      onHover(null);
    },
    { passive: false },
  );

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && gesture) {
      end();
      event.preventDefault();
    }
    // On a button or in a text field, the space bar has a meaning of its own.
    if (event.key !== " " || (event.target !== element && event.target !== document.body)) return;
    event.preventDefault();
    spaceHeld = true;
    showCursor();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    spaceHeld = false;
    showCursor();
  });
  window.addEventListener("blur", () => {
    spaceHeld = false;
    fingers.clear();
    end();
  });
}

/** The box [x0, y0, x1, y1] with these corners. */
export function boxBetween(a, b) {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}

export function hasArea(box) {
  return box !== null && box[0] < box[2] && box[1] < box[3];
}

/** All places of the pointer since the last event. The browser reports several at once. */
function wayOf(event) {
  const way = event.getCoalescedEvents?.() ?? [];
  return way.length > 0 ? way : [event];
}

function spread(fingers) {
  const [a, b] = [...fingers.values()];
  const distance = Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
  return { clientX: (a.x + b.x) / 2, clientY: (a.y + b.y) / 2, distance };
}
