import assert from "node:assert/strict";
import { test } from "node:test";

import { SessionWriter } from "../../prompt_api/web/session-writer.js";

/** A database in memory. Each write ends when a test says so: `end()`, or `end(error)`, which writes nothing. */
function databaseInMemory() {
  const records = new Map();
  const writes = [];
  let waiting = null;
  const write = (changes) =>
    new Promise((resolve, reject) => {
      writes.push(changes.map(({ store, key, value }) => `${store} ${key} ${value}`));
      waiting = (error) => {
        if (error) return reject(error);
        for (const { store, key, value } of changes) {
          if (store === "all") records.clear();
          else if (value === undefined) records.delete(`${store} ${key}`);
          else records.set(`${store} ${key}`, value);
        }
        resolve();
      };
    });
  const turn = () => new Promise(setImmediate);
  return { records, writes, write, turn, end: async (error) => (await turn(), waiting(error), await turn()) };
}

function fullError() {
  return Object.assign(new Error("no room"), { name: "QuotaExceededError" });
}

test("what changes in one task of the page is written together, and only the newest value of each record", async () => {
  const database = databaseInMemory();
  const writer = new SessionWriter(database.write, assert.fail);
  writer.put("work", 1, "a");
  writer.put("session", "session", "s");
  writer.put("work", 1, "b");
  assert.equal(writer.isDone, false);
  await database.end();
  await writer.settled();
  assert.deepEqual(database.writes, [["session session s", "work 1 b"]]);
  assert.equal(writer.isDone, true);
});

test("what comes during a write waits for its end, and older values that wait are left out", async () => {
  const database = databaseInMemory();
  const writer = new SessionWriter(database.write, assert.fail);
  writer.put("work", 1, "a");
  await database.turn();
  for (const value of ["b", "c", "d"]) writer.put("work", 1, value);
  writer.put("work", 2, "x");
  writer.remove("work", 2);
  await database.end();
  await database.end();
  assert.deepEqual(database.writes, [["work 1 a"], ["work 1 d", "work 2 undefined"]]);
  assert.deepEqual([...database.records], [["work 1", "d"]]);
});

test("files are written one by one after what a person did", async () => {
  const database = databaseInMemory();
  const writer = new SessionWriter(database.write, assert.fail);
  for (const key of [1, 2]) writer.put("files", key, "f");
  writer.put("work", 1, "a");
  for (let write = 0; write < 3; write++) await database.end();
  assert.deepEqual(database.writes, [["work 1 a"], ["files 1 f"], ["files 2 f"]]);
});

test("a file without room is given up, and everything else is still written", async () => {
  const database = databaseInMemory();
  const failures = [];
  const writer = new SessionWriter(database.write, (error, [{ store, key }]) => failures.push([error.name, store, key]));
  for (const key of [1, 2]) writer.put("files", key, "f");
  await database.end(fullError());
  await database.end();
  assert.deepEqual(failures, [["QuotaExceededError", "files", 1]]);
  assert.deepEqual([...database.records.keys()], ["files 2"]);
  assert.deepEqual([writer.hasFailed, writer.isDone], [false, true]);
});

test("work that could not be written is written with the next change, unless a newer value replaced it", async () => {
  const database = databaseInMemory();
  let failures = 0;
  const writer = new SessionWriter(database.write, () => failures++);
  writer.put("work", 1, "a");
  writer.put("work", 2, "a");
  await database.turn();
  writer.put("work", 2, "b");
  await database.end(fullError());
  assert.deepEqual([failures, writer.hasFailed, writer.isDone], [1, true, false]);
  assert.equal(database.writes.length, 1);
  writer.put("work", 3, "c");
  await database.end();
  assert.deepEqual([...database.records].sort(), [["work 1", "a"], ["work 2", "b"], ["work 3", "c"]]);
  assert.deepEqual([writer.hasFailed, writer.isDone], [false, true]);
});

test("what comes after the session was cleared stays, and what waited before is gone", async () => {
  const database = databaseInMemory();
  const writer = new SessionWriter(database.write, assert.fail);
  writer.put("work", 1, "old");
  await database.turn();
  writer.put("files", 1, "old");
  writer.clear();
  writer.put("work", 2, "new");
  for (let write = 0; write < 3; write++) await database.end();
  assert.deepEqual(database.writes, [["work 1 old"], ["all  undefined"], ["work 2 new"]]);
  assert.deepEqual([...database.records], [["work 2", "new"]]);
});
