/**
 * Cleans a mask: fills holes, removes specks, keeps one part. It gives the same masks as the API's `clean`.
 *
 * A part is a set of 4-connected pixels: pixels that touch only at a corner belong to different parts, so each part is
 * one polygon. A hole is a set of 8-connected pixels of background that does not reach the edge of the picture.
 *
 * The time grows with the number of vertical runs of the mask, not with the size of the picture.
 *
 * @typedef {import("./local/runs.js").ColumnRuns} ColumnRuns
 * @typedef {{fillHoles?: number, removeSpecks?: number, keep?: "all"|"largest"|"clicked",
 *   points?: {x: number, y: number, label: 0|1}[]}} Cleaning
 *   `fillHoles`: holes of at most so many pixels are filled. `removeSpecks`: with `keep: "all"`, parts of at most so many
 *   pixels are removed, except the largest part. `keep`: which parts stay, after holes are filled. "largest" is the part
 *   of most pixels; of several, the one that begins in the leftmost column, and there the topmost. "clicked" are the
 *   parts that contain the pixel of a point with label 1. If none is on a part, it is the part nearest to one, and
 *   without any such point the largest.
 */

import { columnRuns } from "./column-runs.js";
import { areaOf, boxOf, encodeRle, runsBetween } from "./local/runs.js";

/**
 * The cleaned mask. It is the same object if nothing changes. Cleaning it again changes nothing more.
 * @param {import("./prompts.js").Mask} mask
 * @param {Cleaning} cleaning
 * @returns {import("./prompts.js").Mask}
 */
export function clean(mask, cleaning) {
  if (changesNothing(cleaning)) return mask;
  const runs = columnRuns(mask.rle);
  const cleaned = cleanedRuns(runs, cleaning);
  if (cleaned === runs) return mask;
  return { ...mask, area: areaOf(cleaned), bbox: boxOf(cleaned), rle: encodeRle(cleaned) };
}

/** @param {Cleaning} cleaning */
export function changesNothing({ fillHoles = 0, removeSpecks = 0, keep = "all" }) {
  return fillHoles === 0 && removeSpecks === 0 && keep === "all";
}

/**
 * `clean` for runs. Returns `runs` itself if nothing changes.
 * @param {ColumnRuns} runs
 * @param {Cleaning} cleaning
 * @returns {ColumnRuns}
 */
export function cleanedRuns(runs, { fillHoles = 0, removeSpecks = 0, keep = "all", points = [] }) {
  if (runs.x.length === 0) return runs;
  const filled = fillHoles > 0 ? withoutHoles(runs, fillHoles) : runs;
  if (removeSpecks === 0 && keep === "all") return filled;
  const parts = partOfEachRun(filled, false);
  const areas = areasOfParts(filled, parts);
  if (areas.length === 1) return filled;
  const largest = areas.reduce((best, area, part) => (area > areas[best] ? part : best), 0);
  const clicks = points.filter(({ label }) => label === 1);
  const kept = new Uint8Array(areas.length);
  if (keep === "all") areas.forEach((area, part) => (kept[part] = area > removeSpecks || part === largest ? 1 : 0));
  else if (keep === "largest" || clicks.length === 0) kept[largest] = 1;
  else for (const run of clickedRuns(filled, clicks)) kept[parts[run]] = 1;
  return kept.every(Boolean) ? filled : chosen(filled, (run) => kept[parts[run]]);
}

/**
 * The number of the part of each run. Parts are numbered in the order of their first runs.
 * @param {ColumnRuns} runs
 * @param {boolean} byCorners whether pixels that touch only at a corner are connected
 * @returns {Int32Array}
 */
export function partOfEachRun({ x, top, bottom }, byCorners) {
  const slack = byCorners ? 1 : 0;
  const root = Int32Array.from(x.keys());
  const find = (run) => {
    while (root[run] !== run) run = root[run] = root[root[run]];
    return run;
  };
  // Two fingers go down two neighbouring columns.
  for (let run = 0, next = 0; run < x.length; run++) {
    while (next < x.length && (x[next] <= x[run] || (x[next] === x[run] + 1 && bottom[next] + slack <= top[run]))) next++;
    for (let other = next; other < x.length && x[other] === x[run] + 1 && top[other] < bottom[run] + slack; other++) {
      const [one, two] = [find(run), find(other)];
      root[Math.max(one, two)] = Math.min(one, two);
    }
  }
  const parts = new Int32Array(x.length);
  let count = 0;
  for (let run = 0; run < x.length; run++) parts[run] = find(run) === run ? count++ : parts[find(run)];
  return parts;
}

function areasOfParts({ top, bottom }, parts) {
  const areas = new Float64Array(parts.reduce((most, part) => Math.max(most, part), -1) + 1);
  parts.forEach((part, run) => (areas[part] += bottom[run] - top[run]));
  return areas;
}

function withoutHoles(runs, most) {
  const background = backgroundOf(runs);
  const holes = partOfEachRun(background, true);
  const areas = areasOfParts(background, holes);
  const fills = areas.map((area) => (area <= most ? 1 : 0));
  const [left, right] = [runs.x[0], runs.x[runs.x.length - 1]];
  holes.forEach((hole, run) => {
    const isOpen = background.top[run] === 0 || background.bottom[run] === runs.size[0];
    if (isOpen || background.x[run] === left || background.x[run] === right) fills[hole] = 0;
  });
  const filled = chosen(background, (run) => fills[holes[run]]);
  return filled.x.length > 0 ? runsBetween(changesOf(runs, filled), runs.size) : runs;
}

/** The runs of background in the columns from the first to the last that the mask reaches. */
function backgroundOf(runs) {
  const [first, last] = [runs.x[0], runs.x[runs.x.length - 1]];
  const x = Int32Array.from({ length: last - first + 1 }, (_, column) => first + column);
  const whole = { size: runs.size, x, top: new Int32Array(x.length), bottom: new Int32Array(x.length).fill(runs.size[0]) };
  return runsBetween(changesOf(runs, whole), runs.size);
}

/** Where either mask changes, as `runsBetween` takes it. */
function changesOf(one, other) {
  const places = one.size[0] + 1;
  const changes = new Float64Array(2 * (one.x.length + other.x.length));
  let count = 0;
  for (const { x, top, bottom } of [one, other]) {
    for (let run = 0; run < x.length; run++) {
      changes[count++] = x[run] * places + top[run];
      changes[count++] = x[run] * places + bottom[run];
    }
  }
  return changes.sort();
}

/** The runs that contain a click, or else the run nearest to a click. */
function clickedRuns({ size: [height, width], x, top, bottom }, clicks) {
  const clicked = new Set();
  let [nearest, least] = [0, Infinity];
  const within = (place, length) => Math.min(Math.max(Math.floor(place), 0), length - 1);
  const pixels = clicks.map((click) => [within(click.x, width), within(click.y, height)]);
  for (let run = 0; run < x.length; run++) {
    for (const [column, row] of pixels) {
      const down = Math.max(top[run] - row, row - bottom[run] + 1, 0);
      const away = (x[run] - column) ** 2 + down ** 2;
      if (away === 0) clicked.add(run);
      if (away < least) [nearest, least] = [run, away];
    }
  }
  return clicked.size > 0 ? clicked : [nearest];
}

function chosen({ size, x, top, bottom }, isChosen) {
  const isRunChosen = (_, run) => isChosen(run);
  return { size, x: x.filter(isRunChosen), top: top.filter(isRunChosen), bottom: bottom.filter(isRunChosen) };
}
