/** Asks again for the present mask when a finer region can answer, and puts the finer mask in its place. */

import { sentenceOf } from "./choices.js";
import { announce } from "./notices.js";
import { chosenMask, finerFields, isBlank, isByHand } from "./prompts.js";
import { isCut, isFiner, isSame } from "./region.js";
import { amend } from "./timeline.js";

export class Sharpening {
  #gallery;
  #desk;
  #conversation;
  #regions;
  #isDrawing;
  /** The step and the region that were asked for last. A region that did not suit a step is not asked again. */
  #tried = { step: 0, region: null };

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./desk.js").Desk} desk
   * @param {import("./conversation.js").Conversation} conversation
   * @param {import("./regions.js").Regions} regions
   * @param {() => boolean} isDrawing whether a person draws on the picture at this moment
   */
  constructor(gallery, desk, conversation, regions, isDrawing) {
    this.#gallery = gallery;
    this.#desk = desk;
    this.#conversation = conversation;
    this.#regions = regions;
    this.#isDrawing = isDrawing;
  }

  /** Call this when a region is ready, and after each answer. */
  consider() {
    const entry = this.#gallery.current;
    if (!entry?.image || this.#isDrawing()) return;
    const { step } = entry.timeline.now;
    if (!isOpen(entry.timeline.now) || step.drawn) return;
    const region = this.#regions.finerFor(entry, step);
    const isTried = this.#tried.step === step.id && isSame(this.#tried.region, region);
    if (region && !isTried && suits(step, region, entry.size)) {
      this.#tried = { step: step.id, region };
      this.#conversation.submit({ entry, step, isHover: false, since: performance.now(), finer: region });
    } else if (!step.region && !isTried) {
      this.#regions.lookAround(entry, chosenMask(step).bbox);
    }
  }

  /** Call this with each answer to a prompt. @param {import("./conversation.js").Job} job */
  note({ step }, { unfit }) {
    if (unfit) this.#tried = { step: step.id, region: unfit };
  }

  /**
   * Replaces the masks of a step, unless the person has gone on meanwhile.
   * @param {import("./conversation.js").Job} job
   * @param {import("./decoding.js").Answer} answer
   */
  receive({ entry, step: { id, masks }, finer }, answer) {
    const { now } = entry.timeline;
    if (entry !== this.#gallery.current || now.step.id !== id || now.step.masks !== masks) return;
    if (!isOpen(now) || this.#isDrawing()) return;
    const fields = finerFields(now.step, answer.results[0].masks, finer);
    entry.timeline = amend(entry.timeline, id, fields);
    this.#desk.render();
    announce(`Sharper. ${sentenceOf(entry.timeline.now.step, entry.size)}`);
  }
}

/** True if a state has masks of a model that nobody has kept. */
function isOpen({ step, objects }) {
  if (isBlank(step) || !step.masks?.length || isByHand(step)) return false;
  return !objects.some((object) => object.step.id === step.id);
}

/** True if a region shows a step's object more finely, and to all its edges as far as the present masks can tell. */
function suits(step, region, size) {
  const mayFit = ({ bbox: [x, y, width, height] }) =>
    x >= region[0] && y >= region[1] && x + width <= region[2] && y + height <= region[3] && !isCut(region, [x, y, width, height], size);
  return isFiner(region, step.region ?? null) && step.masks.some(mayFit);
}
