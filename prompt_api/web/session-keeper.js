/**
 * Keeps the session in this browser: every picture, object, class and undo, as it happens. After a reload, a crash or a
 * new day the page goes on from there.
 */

import { fromSession } from "./picture-source.js";
import { Problem } from "./problems.js";
import { SessionDatabase } from "./session-database.js";
import { takeLock } from "./session-lock.js";
import { pictureRecord, restored, restoredClasses, sessionRecord, workRecord } from "./session-records.js";
import { ALL, SessionWriter } from "./session-writer.js";

export class SessionKeeper {
  /** Of the database and the lock. Pages of several services under one address have sessions of their own. */
  #name = `annotation-session ${new URL(".", document.baseURI).pathname}`;
  #gallery;
  #classes;
  #onTrouble;
  #onChange;
  #database = null;
  #writer = null;
  #isFull = false;
  /** What was last handed to the writer, by entry. */
  #noted = new WeakMap();
  #session = "";
  /** The id of the picture that was shown last. */
  #position = null;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./class-book.js").ClassBook} classes
   * @param {object} events
   * @param {(problem: Problem) => void} events.onTrouble called when the session, or a file of it, is not kept any more
   * @param {() => void} events.onChange called after `state` changed
   */
  constructor(gallery, classes, { onTrouble, onChange }) {
    this.#gallery = gallery;
    this.#classes = classes;
    this.#onTrouble = onTrouble;
    this.#onChange = onChange;
  }

  /** @returns {"kept"|"writing"|"off"} `kept`: nothing of the session is lost if the page closes now */
  get state() {
    if (!this.#writer || this.#writer.hasFailed) return "off";
    return this.#writer.isDone ? "kept" : "writing";
  }

  /**
   * Opens the session and puts its pictures into the gallery.
   * @param {{steal?: boolean}} [options] `steal` takes it from another tab
   * @returns {Promise<import("./gallery.js").Entry|null>} the picture that was shown last
   * @throws {Problem} `session-elsewhere`, `session-unavailable`, `session-newer`
   */
  async start({ steal = false } = {}) {
    if (!(await takeLock(this.#name, { steal, onLost: () => this.#lose("session-taken") }))) {
      throw new Problem("session-elsewhere");
    }
    const database = await SessionDatabase.open(this.#name, () => this.#lose("session-lost"));
    let stored;
    try {
      stored = await database.read();
    } catch (error) {
      throw new Problem("session-unavailable", { detail: String(error) });
    }
    this.#database = database;
    const write = (changes) => (changes[0].store === ALL ? database.clear() : database.write(changes));
    this.#writer = new SessionWriter(write, (...failure) => this.#onFailure(...failure), this.#onChange);
    return this.#restore(stored);
  }

  /** Hands everything that changed since the last call to the writer. Call it after each change. */
  look() {
    if (!this.#writer) return;
    const { entries, current } = this.#gallery;
    for (const entry of entries) this.#lookAt(entry);
    // While the pictures of the last visit are opened, none is shown yet.
    this.#position = current?.id ?? this.#position;
    const { list, current: label, isCarried } = this.#classes;
    const record = sessionRecord({ classes: list, current: label, carry: isCarried, picture: this.#position });
    const text = JSON.stringify(record);
    if (text === this.#session) return;
    this.#session = text;
    this.#writer.put("session", "session", record);
  }

  /** Keeps a file that was opened. */
  keepFile(entry, file) {
    if (this.#writer && !this.#isFull) this.#writer.put("files", entry.id, file);
  }

  /** Forgets a picture. */
  remove({ id }) {
    if (!this.#writer) return;
    this.#isFull = false;
    for (const store of ["pictures", "work", "files"]) this.#writer.remove(store, id);
  }

  /** Removes the whole session from this browser. The caller empties the gallery and the classes before. */
  clear() {
    this.#isFull = false;
    this.#session = "";
    this.#position = null;
    this.#writer?.clear();
  }

  #restore({ session, pictures, work }) {
    this.#position = session?.picture ?? null;
    for (const record of pictures) {
      const fields = restored(record, work.get(record?.id));
      if (!fields) continue;
      const source = fromSession(record, () => this.#database.file(record.id));
      const entry = this.#gallery.restore(record.id, source, fields);
      this.#noted.set(entry, notesOf(entry));
    }
    this.#classes.restore(restoredClasses(session), session?.current ?? null, session?.carry === true);
    return this.#gallery.entries.find(({ id }) => id === session?.picture) ?? this.#gallery.entries[0] ?? null;
  }

  #lookAt(entry) {
    const last = this.#noted.get(entry);
    const notes = notesOf(entry);
    const differs = (fields) => !last || fields.some((field) => notes[field] !== last[field]);
    if (differs(["size", "thumbnail", "hash", "source"])) this.#writer.put("pictures", entry.id, pictureRecord(entry));
    if (differs(["timeline", "hidden", "view", "done", "savedObjects"])) this.#writer.put("work", entry.id, workRecord(entry));
    if (differs(Object.keys(notes))) this.#noted.set(entry, notes);
  }

  #onFailure(error, changes) {
    const isRoom = error?.name === "QuotaExceededError";
    if (changes[0].store === "files") {
      // The picture stays open. After a reload its file is asked for.
      if (!this.#isFull) this.#onTrouble(new Problem(isRoom ? "session-full" : "file-not-kept", { detail: String(error) }));
      this.#isFull = isRoom;
      return;
    }
    this.#onTrouble(new Problem(isRoom ? "session-too-full" : "session-lost", { detail: String(error) }));
  }

  #lose(code) {
    if (!this.#writer) return;
    this.#writer.stop();
    this.#writer = null;
    this.#onChange();
    this.#onTrouble(new Problem(code));
  }
}

/** The fields of an entry that are stored. Each is replaced and never changed in place. */
function notesOf({ size, thumbnail, hash, source, timeline, hidden, view, done, savedObjects }) {
  return { size, thumbnail, hash, source, timeline, hidden, view, done, savedObjects };
}
