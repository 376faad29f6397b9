/** Wires the page: which picture is open, what was asked, what is in flight. */

import * as api from "./api.js";
import { ensureEncoded } from "./encoding.js";
import { listen } from "./gestures.js";
import { LatestOnly } from "./latest.js";
import * as panel from "./panel.js";
import { openPicture } from "./picture.js";
import { isForgotten, isTemporary } from "./problems.js";
import * as prompts from "./prompts.js";
import { Stage } from "./stage.js";

const TRIES = 6;
const RECOVERIES = 3;

const find = (id) => document.getElementById(id);
const stage = new Stage(document);
const queue = new LatestOnly(ask);

/**
 * The open picture: {file, controller, image, recoveries}. `image` is the image resource once it is encoded, else
 * null; `recoveries` counts the times it was encoded again since the last answer.
 */
let session = null;
let opened = 0;
let history = prompts.NOTHING;
let hover = null;
let noHoverBefore = 0;

async function open(file) {
  const turn = ++opened;
  panel.hideAlert();
  let picture;
  try {
    picture = await openPicture(file);
  } catch (error) {
    if (turn === opened) panel.showAlert(error);
    return;
  }
  // A small picture chosen after a large one may be read first.
  if (turn !== opened) return picture.bitmap.close();
  session?.controller.abort();
  queue.forget();
  session = { file, controller: new AbortController(), image: null, recoveries: 0 };
  history = prompts.NOTHING;
  hover = null;
  stage.show(picture, file.name);
  picture.bitmap.close();
  panel.showDesk();
  panel.showLatency(null);
  panel.showAbout(file.name, [`${picture.width} × ${picture.height}`]);
  render();
  await encode(session);
}

/** Has the picture encoded, showing how far it is, then asks whatever was asked meanwhile. */
async function encode(mine) {
  const { signal } = mine.controller;
  mine.image = null;
  const start = performance.now();
  try {
    const { image, uploaded } = await ensureEncoded(api, mine.file, { signal, report: panel.showProgress });
    mine.image = image;
    panel.showProgress(null);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const origin = uploaded ? `Encoded in ${seconds} s` : "Known here: nothing was uploaded";
    panel.showAbout(mine.file.name, [`${image.width} × ${image.height}`, image.model], origin);
    render();
    submitCurrent();
  } catch (error) {
    if (signal.aborted) return;
    panel.showProgress(null);
    panel.showAlert(error, () => encode(mine));
  }
}

function submitCurrent() {
  const step = prompts.current(history);
  if (session?.image && !prompts.isBlank(step) && !step.masks) queue.submit({ session, step, isHover: false });
}

/** One prompt from question to answer; whatever it meets on the way, it ends without throwing. */
async function ask(job) {
  const mine = job.session;
  const { signal } = mine.controller;
  let { step } = job;
  for (let attempt = 1; mine === session && mine.image; attempt++) {
    try {
      const result = await api.promptMasks(mine.image.image_id, prompts.requestFor(step), { signal });
      if (mine === session) receive(job, result);
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (job.isHover) {
        noHoverBefore = performance.now() + Math.max(1, error.retryAfter ?? 1) * 1000;
        return;
      }
      if (attempt < TRIES && step.base && error.code === "invalid-prompt") {
        // The mask it refined has been forgotten: the points alone still say what is meant.
        history = prompts.withoutBase(history, step.id);
        step = { ...step, base: null };
      } else if (mine.recoveries < RECOVERIES && (isForgotten(error) || error.code === "embedding-pending")) {
        mine.recoveries++;
        await encode(mine);
        return;
      } else if (attempt < TRIES && isTemporary(error)) {
        const seconds = Math.min(error.retryAfter ?? attempt, api.LONGEST_PAUSE);
        panel.showProgress({ step: "backing-off", error, seconds });
        await api.pause(seconds, signal).catch(() => {});
        panel.showProgress(null);
        if (queue.superseded) return;
      } else {
        panel.showAlert(error, submitCurrent);
        return;
      }
    }
  }
}

function receive(job, result) {
  job.session.recoveries = 0;
  panel.showLatency(result);
  if (job.isHover) {
    if (hover && prompts.isBlank(prompts.current(history))) stage.drawMask(bestOf(result.masks), { faint: true });
    return;
  }
  history = prompts.answer(history, job.step.id, result.masks);
  render();
  if (prompts.current(history).id === job.step.id) panel.announce(prompts.current(history), stage.size);
}

function bestOf(masks) {
  return masks.reduce((top, mask) => (mask.score > top.score ? mask : top));
}

function change(next) {
  if (!session || next === history) return;
  const before = prompts.current(history);
  history = next;
  if (prompts.current(history).id !== before.id) panel.hideAlert();
  render();
  submitCurrent();
}

function render() {
  const step = prompts.current(history);
  const shown = prompts.shownStep(history);
  stage.drawPrompt(step.points, step.box);
  stage.drawMask(prompts.chosenMask(shown));
  panel.showStep({ step, shown, canUndo: history.steps.length > 0, ready: Boolean(session?.image) }, stage, choose);
}

function choose(index) {
  change(prompts.choose(history, index));
  panel.announce(prompts.current(history), stage.size);
}

function draftBox(box) {
  const step = prompts.current(history);
  stage.drawPrompt(step.points, box ?? step.box);
}

function hoverAt(place) {
  hover = place;
  if (!prompts.isBlank(prompts.current(history))) return;
  if (!place) {
    queue.forget();
    stage.drawMask(null);
  } else if (session?.image && performance.now() >= noHoverBefore) {
    queue.submit({ session, step: prompts.hoverStep(place.x, place.y), isHover: true });
  }
}

function tool() {
  return document.querySelector('input[name="tool"]:checked').value;
}

function listenToPage() {
  listen(stage, {
    tool,
    onPoint: (point) => change(prompts.addPoint(history, point)),
    onBox: (box) => change(prompts.setBox(history, box)),
    onBoxDraft: draftBox,
    onHover: hoverAt,
  });
  find("undo").addEventListener("click", () => change(prompts.undo(history)));
  find("clear").addEventListener("click", () => change(prompts.clear(history)));
  find("alert-close").addEventListener("click", panel.hideAlert);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (history.steps.length > 0) change(prompts.undo(history));
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && ["1", "2", "3"].includes(event.key)) {
      choose(Number(event.key) - 1);
    }
  });
  for (const input of document.querySelectorAll('input[name="tool"]')) {
    input.addEventListener("change", () => (stage.element.dataset.tool = tool()));
  }
  // A reload may keep the radio that was chosen before.
  stage.element.dataset.tool = tool();
}

function listenToFiles() {
  const input = find("file");
  const pick = () => input.click();
  find("choose").addEventListener("click", pick);
  find("another").addEventListener("click", pick);
  input.addEventListener("change", () => {
    if (input.files.length > 0) open(input.files[0]);
    // So that choosing the same file again is a change again.
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) open(file);
  });
  const veil = find("drop-veil");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    veil.hidden = !event.dataTransfer.types.includes("Files");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    veil.hidden = true;
    const file = event.dataTransfer.files[0];
    if (file) open(file);
  });
}

listenToPage();
listenToFiles();
document.documentElement.dataset.ready = "yes";
