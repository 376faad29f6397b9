import assert from "node:assert/strict";
import { test } from "node:test";

import { eventData } from "../../prompt_api/web/event-stream.js";

async function read(...chunks) {
  const bytes = chunks.map((chunk) => (typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk));
  const events = [];
  for await (const data of eventData(ReadableStream.from(bytes))) events.push(data);
  return events;
}

test("each event yields its data, whatever its name is", async () => {
  assert.deepEqual(await read("event: queued\ndata: 1\n\nevent: ready\ndata:2\n\n"), ["1", "2"]);
});

test("an event may arrive in pieces, even within a character", async () => {
  const bytes = new TextEncoder().encode("data: ü\n\n");
  assert.deepEqual(await read(bytes.slice(0, 7), bytes.slice(7)), ["ü"]);
});

test("lines may end with a carriage return, also cut in two", async () => {
  assert.deepEqual(await read("data: 1\r", "\n\r\ndata: 2\r\n\r\n"), ["1", "2"]);
});

test("several data lines become one text, and comments are ignored", async () => {
  assert.deepEqual(await read(": still here\n\ndata: a\ndata: b\n\n"), ["a\nb"]);
});

test("an event that was cut off is dropped", async () => {
  assert.deepEqual(await read("data: 1\n\ndata: 2\n"), ["1"]);
});
