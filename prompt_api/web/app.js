/** Wires the page: connects what each part reports to the part that handles it. */

import * as alikeService from "./alike-api.js";
import { AlikeMode } from "./alike-mode.js";
import { Annotator } from "./annotator.js";
import * as api from "./api.js";
import { isBrush } from "./brush.js";
import { ClassBook } from "./class-book.js";
import { KEYS } from "./classes.js";
import { Conversation } from "./conversation.js";
import { changeToken, hasToken, useDialog } from "./credentials.js";
import { listenToCursor } from "./cursor.js";
import { service } from "./decoding.js";
import { Desk } from "./desk.js";
import * as dialogs from "./dialogs.js";
import * as everythingJobs from "./everything-api.js";
import { EverythingMode } from "./everything-mode.js";
import { ExportDialog } from "./export-dialog.js";
import { listenToFiles } from "./files.js";
import { Gallery } from "./gallery.js";
import { listenToPointers } from "./gestures.js";
import { Hands } from "./hands.js";
import { Importer } from "./importing.js";
import { Labelling } from "./labelling.js";
import { LocalSwitch } from "./local-switch.js";
import { MaskCleaning } from "./mask-cleaning.js";
import { ModelMenu } from "./model-menu.js";
import { announce, hideAlert, setText, showAlert, showProgress } from "./notices.js";
import { Pictures } from "./pictures.js";
import { isBlank } from "./prompts.js";
import { signFor } from "./region-sign.js";
import { Regions } from "./regions.js";
import { listenToSamples, loadSample } from "./samples.js";
import { Session } from "./session.js";
import { SessionKeeper } from "./session-keeper.js";
import { Sharpening } from "./sharpening.js";
import { listenToKeys } from "./shortcuts.js";
import { Stage } from "./stage.js";
import { listenToTheme } from "./theme.js";
import { shownStep } from "./timeline.js";

const ZOOM_STEP = 1.4;
/** For each tool the one that does the reverse. */
const REVERSE = { include: "exclude", exclude: "include", box: "exclude", brush: "erase", erase: "brush" };

const find = (id) => document.getElementById(id);

const maskCleaning = new MaskCleaning();
const gallery = new Gallery();
const stage = new Stage(document, ({ scale }) => {
  setText("zoom-level", `${Math.round(scale * 100)} %`);
  regions.look(gallery.current, stage.visible);
});
const conversation = new Conversation(service, {
  onAnswer: (job, given) => {
    const answer = maskCleaning.applied(given);
    desk.showTimes(answer.times, conversation.decoder !== service);
    if (job.finer) return sharpening.receive(job, answer);
    annotator.receive(job, answer);
    sharpening.note(job, answer);
    sharpening.consider();
  },
  onProblem: (entry, error) => entry === gallery.current && showAlert(error, () => annotator.askCurrent()),
  onProgress: (progress) => showProgress(progress ?? gallery.current?.progress ?? null),
  encodeAgain: (entry) => void pictures.encode(entry),
  onLocalFailure: (error) => {
    localSwitch.turnOff();
    showAlert(error);
  },
  isCurrent: (entry) => entry === gallery.current,
  regionFor: (entry, step) => regions.regionFor(entry, step),
  onRegionLost: (entry, region) => regions.lost(entry, region),
});
const regions = new Regions({
  api,
  prepare: (image, options) => conversation.decoder.prepare(image, options),
  upload: async (entry) => {
    const { image, controller: { signal } } = entry;
    await api.uploadImage(await entry.source.open(), { signal, model: image.model });
  },
  onReady: () => {
    annotator.hoverAgain();
    sharpening.consider();
  },
  onChange: showPart,
});
const desk = new Desk(stage, gallery, {
  onChoose: (index) => annotator.choose(index),
  onLabel: (id, label) => annotator.relabel(id, label),
  onColour: (id, colour) => annotator.recolour(id, colour),
  onVisible: (id, visible) => annotator.setVisible([id], visible),
  onSelect: (id) => annotator.select(id),
  onAlike: (id) => only(alike).findLike(id),
  onDelete: (id) => annotator.remove(id),
  onOpen: (entry) => pictures.show(entry),
  onRemove: remove,
  onRender: () => {
    labelling.show();
    for (const mode of modes) mode.look();
    regions.look(gallery.current, stage.visible);
    showPart();
  },
  onStrip: () => keeper.look(),
  hint: () => alike.hint,
});
const classes = new ClassBook(gallery, () => desk.render());
const annotator = new Annotator(gallery, desk, conversation, classes);
const labelling = new Labelling(gallery, annotator, classes, stage.element);
const menu = new ModelMenu(() => {
  conversation.forget();
  hideAlert();
  pictures.encodeAll();
});
const keeper = new SessionKeeper(gallery, classes, {
  onTrouble: (problem) => session.tell(problem),
  onChange: () => session.showState(),
});
const pictures = new Pictures(gallery, stage, desk, {
  onShown,
  onReady,
  onFile: (entry, file) => keeper.keepFile(entry, file),
  model: () => menu.chosen,
  isReady: () => session.started,
});
const session = new Session({ keeper, gallery, classes, pictures, labelling, menu });
const importer = new Importer({ gallery, pictures, classes, desk });
const exportDialog = new ExportDialog(gallery, stage, () => keeper.look());
const tool = () => document.querySelector('input[name="tool"]:checked').value;
const hands = new Hands({ gallery, stage, desk, annotator }, tool);
const sharpening = new Sharpening(gallery, desk, conversation, regions, () => hands.isDrawing);
const shared = { gallery, stage, desk, isPainting: () => isBrush(tool()), takeKeys: () => cursor.takeKeys() };
const everything = new EverythingMode({
  ...shared,
  service: everythingJobs,
  keep: (mask, label) => labelling.keepFound(mask, label),
  encode: (entry) => pictures.encode(entry),
});
const alike = new AlikeMode({
  ...shared,
  service: alikeService,
  classes,
  cleaned: (mask) => maskCleaning.cleaned(mask),
  keepPresent: () => labelling.keep(),
  keepAll: (found) => annotator.keepAll(found),
  encode: (entry) => pictures.encode(entry),
});
/** The modes that offer masks. At most one is on. */
const modes = [everything, alike];
const wishes = {
  tool,
  onPoint: (point) => modes.some((mode) => mode.press(point)) || hands.point(point),
  onTwice: (place) => hands.twice(place),
  onBox: (box) => annotator.setBox(box),
  onBoxDraft: (box) => desk.showDraft(box),
  onHover: (place) => everything.hover(place, (left) => alike.hover(left, (rest) => hands.hover(rest))),
  strokes: hands.strokes,
};
const localSwitch = new LocalSwitch((decoder) => {
  conversation.decoder = decoder;
  regions.reset();
  regions.look(gallery.current, stage.visible);
  if (gallery.current?.image) onReady(gallery.current);
});
let cursor;

function onShown() {
  conversation.forget();
  cursor.reset();
  hands.showTool();
}

/** Says which part of the open picture answers. */
function showPart() {
  const entry = gallery.current;
  setText("part", entry?.size ? signFor(shownStep(entry.timeline), regions.state, entry.size) : "");
}

/** Called when the open picture can be prompted. */
async function onReady(entry) {
  annotator.askCurrent();
  carryOn(entry);
  void menu.show();
  const { image } = entry;
  await localSwitch.check(image.model);
  const { decoder } = conversation;
  const { signal } = entry.controller;
  const report = (share) => entry === gallery.current && showProgress({ step: "preparing", share });
  try {
    await decoder.prepare(image, { signal, report });
  } catch (error) {
    // Other failures happen again at the next prompt, which handles them.
    if (error.code === "local-decoding" && decoder === conversation.decoder) {
      localSwitch.turnOff();
      showAlert(error);
    }
  }
  if (entry === gallery.current) showProgress(entry.progress);
}

/** Looks for the classes of other pictures on this one, where the person wants it. */
function carryOn(entry) {
  if (classes.isCarried && entry.image && !modes.some((mode) => mode.isOn)) alike.carryOn(entry);
}

/** @returns {Promise<boolean>} true if the picture was removed */
async function remove(entry) {
  const { length } = entry.timeline.now.objects;
  if (!gallery.isSaved(entry) && !(await dialogs.confirmRemoval(entry.name, plural(length, "object")))) return false;
  await pictures.remove(entry);
  keeper.remove(entry);
  return true;
}

/** Opens a sample picture, and asks for the mask of its subject unless the person has begun to work on it. */
async function tryOut(name) {
  try {
    const { file, point } = await loadSample(name);
    const entry = await pictures.open([file]);
    if (entry && entry === gallery.current && isBlank(entry.timeline.now.step)) annotator.addPoint(point);
  } catch (error) {
    showAlert(error);
  }
}

/** Ends the other modes that offer masks. @template Mode @param {Mode} mode @returns {Mode} */
function only(mode) {
  for (const other of modes) if (other !== mode) other.leave();
  return mode;
}

function plural(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function chooseTool(name) {
  document.querySelector(`input[name="tool"][value="${name}"]`).checked = true;
  showTool();
}

function showTool() {
  stage.element.dataset.tool = tool();
  hands.showTool();
  desk.render();
}

/** The key of a class keeps the found mask under the pointer under that class. */
function digit(position) {
  const chosen = classes.list[position];
  if (!chosen || !modes.some((mode) => mode.keepPointed(chosen.name))) labelling.digit(position);
}

/** Goes to another mask of those that are offered. @param {1|-1} by @returns {boolean} false if there is none to go to */
function stepFound(by) {
  return modes.some((mode) => mode.step(by));
}

/** An action that does nothing unless a picture is open. */
function onPicture(action) {
  return () => gallery.current && action();
}

const ACTIONS = {
  ...Object.fromEntries(KEYS.map((key, position) => [`digit-${key}`, onPicture(() => digit(position))])),
  "next-mask": onPicture(() => stepFound(1) || annotator.chooseNext()),
  keep: () => modes.some((mode) => mode.keepPointed()) || labelling.keep(),
  label: onPicture(() => find("label").select()),
  clear: onPicture(() => annotator.clear()),
  "swap-tool": () => chooseTool(REVERSE[tool()]),
  brush: () => chooseTool("brush"),
  erase: () => chooseTool("erase"),
  ...hands.actions,
  "delete-selected": () => alike.rejectPointed() || hands.actions["delete-selected"](),
  deselect: () => modes.some((mode) => mode.leave()) || hands.actions.deselect(),
  everything: onPicture(() => only(everything).toggle()),
  alike: onPicture(() => only(alike).toggle()),
  "next-found": onPicture(() => stepFound(1)),
  "previous-found": onPicture(() => stepFound(-1)),
  "toggle-all": onPicture(() => annotator.toggleAll()),
  undo: onPicture(() => annotator.undo()),
  redo: onPicture(() => annotator.redo()),
  "zoom-in": onPicture(() => stage.zoomBy(ZOOM_STEP)),
  "zoom-out": onPicture(() => stage.zoomBy(1 / ZOOM_STEP)),
  fit: onPicture(() => stage.fit()),
  "actual-size": onPicture(() => stage.showActualSize()),
  next: onPicture(() => pictures.show(gallery.neighbour(1))),
  previous: onPicture(() => pictures.show(gallery.neighbour(-1))),
  "next-unlabelled": onPicture(() => pictures.showUnlabelled()),
  done: onPicture(() => pictures.toggleDone()),
  open: () => find("file").click(),
  export: () => exportDialog.open(),
  help: dialogs.showHelp,
};

const BUTTONS = {
  undo: "undo",
  redo: "redo",
  clear: "clear",
  export: "export",
  help: "help",
  everything: "everything",
  "everything-close": "everything",
  "everything-next": "next-found",
  "everything-previous": "previous-found",
  "everything-keep": "keep",
  alike: "alike",
  "alike-close": "alike",
  "alike-next": "next-found",
  "alike-previous": "previous-found",
  "alike-keep": "keep",
  done: "done",
  "next-unlabelled": "next-unlabelled",
  "zoom-in": "zoom-in",
  "zoom-out": "zoom-out",
  "zoom-fit": "fit",
  "zoom-actual": "actual-size",
};

function listen() {
  for (const [id, action] of Object.entries(BUTTONS)) find(id).addEventListener("click", ACTIONS[action]);
  find("keep-form").addEventListener("submit", (event) => {
    event.preventDefault();
    labelling.keep();
  });
  find("alert-close").addEventListener("click", hideAlert);
  for (const input of document.querySelectorAll('input[name="tool"]')) input.addEventListener("change", showTool);
  // After a reload the browser may keep the tool that was chosen before.
  showTool();
  listenToPointers(stage, wishes);
  cursor = listenToCursor(stage, wishes);
  listenToKeys(ACTIONS, dialogs.lettersWanted);
  listenToFiles((files) => importer.open(files).catch(showAlert), showAlert);
  listenToSamples(tryOut);
  find("carry").addEventListener("change", ({ target }) => {
    classes.carry(target.checked);
    carryOn(gallery.current);
  });
  listenToTheme(find("theme"));
  dialogs.prepareHelp();
  const showToken = () => (find("change-token").hidden = !hasToken());
  useDialog(dialogs.askForToken, showToken);
  showToken();
  find("change-token").addEventListener("click", async () => (await changeToken()) && pictures.encodeRefused());
  window.addEventListener("pagehide", () => pictures.rememberView());
  document.addEventListener("visibilitychange", () => document.hidden && pictures.rememberView());
}

listen();
localSwitch.show();
await session.start();
document.documentElement.dataset.ready = "yes";
void menu.show();
