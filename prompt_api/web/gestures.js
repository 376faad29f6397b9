/** Turns mouse, touch and keyboard on the picture into four wishes: point, box, box being drawn, hover. */

const DRAG_PIXELS = 6;

/**
 * @param {import("./stage.js").Stage} stage
 * @param {{tool: () => "include"|"exclude"|"box", onPoint: (point: {x: number, y: number, label: 0|1}) => void,
 *   onBox: (box: number[]) => void, onBoxDraft: (box: number[]|null) => void,
 *   onHover: (place: {x: number, y: number}|null) => void}} wishes
 */
export function listen(stage, wishes) {
  listenToPointer(stage, wishes);
  listenToKeys(stage, wishes);
}

function listenToPointer(stage, { tool, onPoint, onBox, onBoxDraft, onHover }) {
  const element = stage.element;
  let press = null;

  const end = () => {
    press = null;
    onBoxDraft(null);
  };

  element.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button === 1) return;
    const place = stage.toPicture(event.clientX, event.clientY);
    press = { ...place, clientX: event.clientX, clientY: event.clientY, box: null };
    element.setPointerCapture(event.pointerId);
  });

  element.addEventListener("pointermove", (event) => {
    if (!press) {
      if (event.pointerType !== "touch") onHover(stage.toPicture(event.clientX, event.clientY));
      return;
    }
    const far = Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY) > DRAG_PIXELS;
    if (!press.box && (!far || !mayDrag(event, tool()))) return;
    press.box = boxBetween(press, stage.toPicture(event.clientX, event.clientY));
    onBoxDraft(press.box);
  });

  element.addEventListener("pointerup", (event) => {
    if (!press) return;
    const { box, x, y } = press;
    end();
    if (box) {
      if (box[0] < box[2] && box[1] < box[3]) onBox(box);
      return;
    }
    const away = event.button === 2 || event.altKey || event.ctrlKey || tool() === "exclude";
    onPoint({ x, y, label: away ? 0 : 1 });
  });

  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", () => onHover(null));
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && press) end();
  });
}

/** A finger scrolls the page unless it was told to draw boxes; a mouse or pen always may. */
function mayDrag(event, tool) {
  return event.pointerType === "touch" ? tool === "box" : (event.buttons & 1) === 1;
}

function listenToKeys(stage, { tool, onPoint, onBox, onBoxDraft, onHover }) {
  const element = stage.element;
  let cross = null;
  let corner = null;

  const place = () => cross ?? { x: Math.round(stage.size.width / 2), y: Math.round(stage.size.height / 2) };
  const show = () => {
    cross = place();
    stage.moveCross(cross.x, cross.y);
    element.classList.add("by-keyboard");
    if (corner) onBoxDraft(boxBetween(corner, cross));
    else onHover(cross);
  };
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  const actions = {
    Enter: (event) => onPoint({ ...place(), label: event.altKey || tool() === "exclude" ? 0 : 1 }),
    b: () => {
      const first = corner;
      corner = first ? null : place();
      if (!first) return show();
      onBoxDraft(null);
      const box = boxBetween(first, place());
      if (box[0] < box[2] && box[1] < box[3]) onBox(box);
    },
    Escape: () => {
      corner = null;
      onBoxDraft(null);
    },
  };

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const move = moves[event.key];
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!move && !action) return;
    event.preventDefault();
    if (move) {
      const { width, height } = stage.size;
      const stride = Math.max(1, Math.round(Math.max(width, height) / (event.shiftKey ? 400 : 40)));
      const from = place();
      cross = {
        x: Math.min(width - 1, Math.max(0, from.x + move[0] * stride)),
        y: Math.min(height - 1, Math.max(0, from.y + move[1] * stride)),
      };
      show();
    } else {
      action(event);
    }
  });
  element.addEventListener("focus", () => element.matches(":focus-visible") && show());
  element.addEventListener("blur", () => {
    corner = null;
    onBoxDraft(null);
    onHover(null);
  });
  element.addEventListener("pointerdown", () => element.classList.remove("by-keyboard"));
}

function boxBetween(a, b) {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}
