/**
 * The browser's database of one session.
 *
 * Stores, each with the key that `write` is given:
 * - `session`: one record, "session": the classes and the position
 * - `pictures`: by the picture's id: what does not change, with its thumbnail
 * - `work`: by the picture's id: its timeline, its marks and its view
 * - `files`: by the picture's id: the file
 */

import { Problem } from "./problems.js";

export const STORES = ["session", "pictures", "work", "files"];

/** The steps from each version of the database to the next. A new one is added at the end, and none is changed. */
const MIGRATIONS = [(database) => STORES.forEach((store) => database.createObjectStore(store))];

const PATIENCE_MS = 5000;

export class SessionDatabase {
  #database;

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.#database = database;
  }

  /**
   * Opens the database, and brings an older one up to date.
   * @param {string} name
   * @param {() => void} onLost called if the browser takes the database away later, for example with the site's data
   * @param {Function[]} [migrations] for tests
   * @returns {Promise<SessionDatabase>}
   * @throws {Problem} `session-unavailable`, `session-newer`
   */
  static open(name, onLost, migrations = MIGRATIONS) {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const fail = (error) => {
        clearTimeout(timer);
        isLate = true;
        const code = error?.name === "VersionError" ? "session-newer" : "session-unavailable";
        reject(new Problem(code, { detail: String(error) }));
      };
      // A page of an older version may keep the database open, and some browsers never answer.
      const timer = setTimeout(() => fail(new Error("the browser does not open the database")), PATIENCE_MS);
      let request;
      try {
        request = indexedDB.open(name, migrations.length);
      } catch (error) {
        return fail(error);
      }
      request.onupgradeneeded = ({ oldVersion }) => {
        for (const migrate of migrations.slice(oldVersion)) migrate(request.result, request.transaction);
      };
      request.onerror = () => fail(request.error);
      request.onsuccess = () => {
        clearTimeout(timer);
        const database = request.result;
        if (isLate) return database.close();
        const lose = () => {
          database.close();
          onLost();
        };
        database.onversionchange = lose;
        database.onclose = lose;
        resolve(new SessionDatabase(database));
      };
    });
  }

  /**
   * Writes and removes records, all or none.
   * @param {{store: string, key: IDBValidKey, value?: unknown}[]} changes one without `value` removes the record
   * @throws {DOMException} `QuotaExceededError` if there is no room
   */
  async write(changes) {
    const transaction = this.#database.transaction([...new Set(changes.map(({ store }) => store))], "readwrite");
    const done = ended(transaction);
    try {
      for (const { store, key, value } of changes) {
        if (value === undefined) transaction.objectStore(store).delete(key);
        else transaction.objectStore(store).put(value, key);
      }
    } catch (error) {
      transaction.abort();
      await done.catch(() => {});
      throw error;
    }
    await done;
  }

  /** Reads everything but the files. @returns {Promise<{session: any, pictures: any[], work: Map<number, any>}>} */
  async read() {
    const transaction = this.#database.transaction(["session", "pictures", "work"]);
    const store = (name) => transaction.objectStore(name);
    const [session, pictures, keys, values] = await Promise.all([
      answer(store("session").get("session")),
      answer(store("pictures").getAll()),
      answer(store("work").getAllKeys()),
      answer(store("work").getAll()),
    ]);
    return { session, pictures, work: new Map(keys.map((key, index) => [key, values[index]])) };
  }

  /** The file of a picture, or null if it was not kept. @returns {Promise<File|null>} */
  async file(id) {
    return (await answer(this.#database.transaction("files").objectStore("files").get(id))) ?? null;
  }

  /** Removes everything. */
  async clear() {
    const transaction = this.#database.transaction(STORES, "readwrite");
    for (const store of STORES) transaction.objectStore(store).clear();
    await ended(transaction);
  }
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function ended(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
  });
}
