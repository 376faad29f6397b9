/**
 * Writes changes of the session as they happen. While one write is under way, newer values of a record replace older
 * ones that wait, and then all that wait are written together. So a crash loses at most what was not written yet.
 *
 * @typedef {{store: string, key: IDBValidKey, value?: unknown}} Change one without `value` removes the record
 */

/** The store of a change that removes all records of all stores. */
export const ALL = "all";

export class SessionWriter {
  #write;
  #onFailure;
  #onChange;
  /** @type {Map<string, Change>} */
  #waiting = new Map();
  #running = null;
  #failed = false;

  /**
   * @param {(changes: Change[]) => Promise<void>} write writes all changes or none
   * @param {(error: Error, changes: Change[]) => void} onFailure changes of `files` are given up; others are tried again
   *   with the next change
   * @param {() => void} [onChange] called after `isDone` changed
   */
  constructor(write, onFailure, onChange = () => {}) {
    this.#write = write;
    this.#onFailure = onFailure;
    this.#onChange = onChange;
  }

  put(store, key, value) {
    this.#submit({ store, key, value });
  }

  remove(store, key) {
    this.#submit({ store, key });
  }

  /** True if everything is written. */
  get isDone() {
    return this.#running === null && this.#waiting.size === 0;
  }

  /** True if the last try to write anything but a file failed. */
  get hasFailed() {
    return this.#failed;
  }

  /** Removes everything that was written. What comes later is written after that. */
  clear() {
    this.#waiting.clear();
    this.#submit({ store: ALL, key: "" });
  }

  /** Forgets what waits. */
  stop() {
    this.#waiting.clear();
  }

  /** Resolves when everything is written, or a write failed. */
  async settled() {
    while (this.#running) await this.#running;
  }

  #submit(change) {
    const name = `${change.store} ${change.key}`;
    // Deleted first, so that the newest change is the last in the order of the map.
    this.#waiting.delete(name);
    this.#waiting.set(name, change);
    if (this.#running) return;
    this.#running = this.#drain().finally(() => {
      this.#running = null;
      this.#onChange();
    });
    this.#onChange();
  }

  async #drain() {
    // All changes of one task of the page are written together.
    await null;
    while (this.#waiting.size > 0) {
      const changes = this.#next();
      try {
        await this.#write(changes);
        if (changes[0].store !== "files") this.#failed = false;
      } catch (error) {
        const isFile = changes[0].store === "files";
        if (!isFile) this.#putBack(changes);
        this.#onFailure(error, changes);
        if (!isFile) return;
      }
    }
  }

  /** The small records first and all together. Then one file after the other, so that one without room harms no other. */
  #next() {
    const all = [...this.#waiting.values()];
    if (all[0].store === ALL) {
      this.#waiting.delete(`${ALL} `);
      return [all[0]];
    }
    const small = all.filter(({ store }) => store !== "files");
    const next = small.length > 0 ? small : all.slice(0, 1);
    for (const { store, key } of next) this.#waiting.delete(`${store} ${key}`);
    return next;
  }

  #putBack(changes) {
    this.#failed = true;
    const newer = this.#waiting;
    this.#waiting = new Map(changes.map((change) => [`${change.store} ${change.key}`, change]));
    for (const [name, change] of newer) this.#waiting.set(name, change);
  }
}
