/** Reads Ultralytics' YOLO segmentation labels. Format: docs.ultralytics.com/datasets/segment. */

import { maskFrom } from "./mask-edges.js";
import { filled } from "./polygon-fill.js";

/** True if a text looks like labels: its first line is a class and at least four numbers. */
export function isYolo(text) {
  return /^\s*\d+(\s+[-+.\deE]+){4,}\s*(\r?\n|$)/.test(text);
}

/**
 * @param {string} text one line per object: the number of its class, then x and y of each corner as shares of the picture
 * @param {string[]} names of the classes
 * @param {import("./mask-edges.js").Size} size [height, width] of the picture
 * @returns {{objects: {label: string, mask: import("./prompts.js").Mask}[], faults: string[]}} `faults`: what is wrong
 *   with the lines that were left out
 */
export function yoloObjects(text, names, size) {
  const objects = [];
  const faults = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (line.trim() === "") return;
    try {
      objects.push(objectOf(line.trim().split(/\s+/).map(Number), names, size));
    } catch (error) {
      faults.push(`line ${index + 1}: ${error.message}`);
    }
  });
  return { objects, faults };
}

/**
 * The names of the classes in a dataset's `data.yaml`: a list or a map from numbers, each in one line or in several.
 * @param {string} text
 * @returns {string[]|null} null if it has no names
 */
export function namesIn(text) {
  const lines = text.split(/\r?\n/).map((line) => line.replace(/\s+#.*$/, ""));
  const at = lines.findIndex((line) => /^names\s*:/.test(line));
  if (at < 0) return null;
  const rest = lines[at].replace(/^names\s*:\s*/, "").trim();
  const entries = rest ? inOneLine([rest, ...lines.slice(at + 1)].join(" ")) : inSeveral(lines.slice(at + 1));
  const names = [];
  entries.forEach((entry, index) => {
    const [, number, name] = /^(\d+)\s*:\s*(.*)$/.exec(entry) ?? [null, index, entry];
    names[Number(number)] = unquoted(name.trim());
  });
  return names.length > 0 ? names : null;
}

function objectOf([number, ...shares], names, size) {
  if (!Number.isInteger(number) || number < 0) throw new RangeError("it does not start with a class");
  if (shares.length === 4) throw new RangeError("it is a box and no outline");
  const [height, width] = size;
  const corners = shares.map((share, index) => share * (index % 2 === 0 ? width : height));
  return { label: names[number] ?? `class ${number}`, mask: maskFrom(filled([corners], size), size) };
}

/** The entries of "[a, b]" or "{0: a, 1: b}". What follows is ignored. */
function inOneLine(text) {
  const inside = /^[[{](.*?)[\]}]/.exec(text)?.[1] ?? "";
  return inside.match(/(?:"(?:\\.|[^"])*"|'(?:''|[^'])*'|[^,"'])+/g)?.map((entry) => entry.trim()) ?? [];
}

/** The entries of the indented lines that follow, or of the lines that start with "- ". */
function inSeveral(lines) {
  const entries = [];
  for (const line of lines) {
    if (line.trim() === "") continue;
    if (!/^(\s|-\s)/.test(line)) break;
    entries.push(line.trim().replace(/^-\s+/, ""));
  }
  return entries;
}

function unquoted(text) {
  try {
    if (text.startsWith('"')) return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
  return text.startsWith("'") ? text.slice(1, -1).replaceAll("''", "'") : text;
}
