/** The keys of the page, in one table that both the listener and the help read. */

/** @type {{title: string, rows: {keys: string[][], text: string}[]}[]} keys: alternatives of keys pressed together */
export const HELP = [
  {
    title: "Mouse",
    rows: [
      { keys: [["Click"]], text: "this belongs to the object" },
      { keys: [["Right-click"], ["Alt", "Click"]], text: "this does not" },
      { keys: [["Drag"]], text: "a box around the object; with Brush or Eraser, a stroke" },
      { keys: [["Click"]], text: "on a kept object: select it; with Shift, point at something on it" },
      { keys: [["Double-click"]], text: "on a kept object: change it" },
      { keys: [["Wheel"]], text: "zoom" },
      { keys: [["Space", "Drag"]], text: "move the picture" },
    ],
  },
  {
    title: "Touch",
    rows: [
      { keys: [["Tap"]], text: "add; with the Remove tool, remove" },
      { keys: [["Drag"]], text: "move the picture; with Box, Brush or Eraser, draw" },
      { keys: [["Pinch"]], text: "zoom and move" },
    ],
  },
  {
    title: "On the picture",
    rows: [
      { keys: [["←"], ["↑"], ["↓"], ["→"]], text: "move the cursor; with Shift, in small steps" },
      { keys: [["Enter"]], text: "add what is under the cursor" },
      { keys: [["Alt", "Enter"]], text: "remove what is under the cursor" },
      { keys: [["B"]], text: "set one corner of a box, then the other" },
      { keys: [["Esc"]], text: "cancel the box" },
      { keys: [["S"]], text: "find every mask; again, or Esc, stops it" },
      { keys: [[","], ["."]], text: "previous, next of these masks; Enter or K keeps it, a class's key too" },
      { keys: [["G"]], text: "find all like this object; Enter or K keeps all, a click or Delete takes one away" },
    ],
  },
  {
    title: "Masks and objects",
    rows: [
      { keys: [["1"], ["2"], ["3"]], text: "choose a mask, as long as there are no classes" },
      { keys: [["1"], ["…"], ["0"]], text: "keep the object under a class; without a mask, use that class" },
      { keys: [["M"]], text: "choose the next mask" },
      { keys: [["K"]], text: "keep the object" },
      { keys: [["L"]], text: "name it; Enter keeps it, Esc leaves the field" },
      { keys: [["C"]], text: "clear the prompt" },
      { keys: [["X"]], text: "swap Add and Remove, or Brush and Eraser" },
      { keys: [["W"], ["R"]], text: "brush to draw, eraser to rub out; Alt or the right button turns them around" },
      { keys: [["["], ["]"]], text: "smaller, larger brush" },
      { keys: [["Delete"]], text: "delete the selected object; Esc selects none" },
      { keys: [["V"]], text: "show or hide all objects" },
      { keys: [["Ctrl", "Z"]], text: "undo" },
      { keys: [["Ctrl", "Shift", "Z"], ["Ctrl", "Y"]], text: "redo" },
    ],
  },
  {
    title: "View and files",
    rows: [
      { keys: [["+"], ["−"]], text: "zoom" },
      { keys: [["F"]], text: "fit the whole picture" },
      { keys: [["A"]], text: "show at 100 %" },
      { keys: [["N"], ["P"]], text: "next, previous picture" },
      { keys: [["U"]], text: "next picture that has no objects and is not done" },
      { keys: [["D"]], text: "mark the picture as done and go on" },
      { keys: [["O"]], text: "open pictures" },
      { keys: [["E"]], text: "export" },
      { keys: [["?"]], text: "this help" },
    ],
  },
];

const LETTERS = {
  1: "digit-1",
  2: "digit-2",
  3: "digit-3",
  4: "digit-4",
  5: "digit-5",
  6: "digit-6",
  7: "digit-7",
  8: "digit-8",
  9: "digit-9",
  0: "digit-0",
  m: "next-mask",
  k: "keep",
  l: "label",
  c: "clear",
  x: "swap-tool",
  w: "brush",
  r: "erase",
  "[": "smaller",
  "]": "larger",
  v: "toggle-all",
  s: "everything",
  g: "alike",
  ",": "previous-found",
  ".": "next-found",
  "+": "zoom-in",
  "=": "zoom-in",
  "-": "zoom-out",
  "−": "zoom-out",
  f: "fit",
  a: "actual-size",
  u: "next-unlabelled",
  d: "done",
  n: "next",
  p: "previous",
  o: "open",
  e: "export",
  "?": "help",
};

/** Keys that no one types as text. */
const OTHERS = { Delete: "delete-selected", Escape: "deselect" };

/**
 * The action a key stands for, or null.
 * @param {{key: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean}} event
 * @param {{letters: boolean}} options false turns keys without Ctrl off
 */
export function actionFor({ key, ctrlKey, metaKey, shiftKey, altKey }, { letters }) {
  const plain = key.toLowerCase();
  if (OTHERS[key] && !(ctrlKey || metaKey || altKey)) return OTHERS[key];
  // Many keyboards have brackets only with AltGr, which counts as Ctrl and Alt.
  if ("[]".includes(key)) return letters && !metaKey && ctrlKey === altKey ? LETTERS[key] : null;
  if (ctrlKey || metaKey) {
    if (plain === "z") return shiftKey ? "redo" : "undo";
    return plain === "y" ? "redo" : null;
  }
  return letters && !altKey ? (LETTERS[plain] ?? null) : null;
}

/**
 * Calls the action of each key pressed outside of text fields and dialogs.
 * @param {Record<string, () => void>} actions
 * @param {() => boolean} letters whether keys without Ctrl act as shortcuts
 */
export function listenToKeys(actions, letters) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || isText(event.target) || document.querySelector("dialog[open]")) return;
    const action = actionFor(event, { letters: letters() });
    if (!action) return;
    event.preventDefault();
    actions[action]();
  });
}

/** True if a person writes in this element. @param {Element} element */
export function isText(element) {
  return element.matches("input:not([type=radio], [type=checkbox], [type=color], [type=file], [type=range]), textarea, select");
}
