import assert from "node:assert/strict";
import { test } from "node:test";

import { Problem } from "../../prompt_api/web/problems.js";
import { hoverStep } from "../../prompt_api/web/prompts.js";
import { Regions } from "../../prompt_api/web/regions.js";

const READY = { status: "ready", error: null };
const QUEUED = { status: "queued", error: null };
const size = { width: 6000, height: 4000 };

/** A part of the picture around (x, y), 500 pixels wide. */
function at(x, y) {
  return { window: { x: x - 250, y: y - 160, width: 500, height: 320 }, density: 2.4 };
}

const HERE = at(3000, 2000);
const THERE = at(900, 700);
const click = hoverStep(3000, 2000);

/** Regions of one picture, with a service that follows the script. The last answer is repeated. */
function about(...script) {
  const asked = [];
  const log = [];
  const entry = { size, image: { image_id: "id", model: "m" } };
  let changed = () => {};
  const api = {
    LONGEST_PAUSE: 30,
    pause: async (seconds, signal) => {
      signal.throwIfAborted();
      log.push(`pause ${seconds}`);
    },
    encodeRegion: async (id, { regions, around }, { signal, model }) => {
      const region = regions?.[0];
      asked.push({ id, region, around, model, signal });
      const next = await (script.length > 1 ? script.shift() : script[0]);
      signal.throwIfAborted();
      if (next instanceof Error) throw next;
      return { region, ...next };
    },
  };
  const regions = new Regions(
    {
      api,
      prepare: async (_image, { region }) => log.push(`prepare ${region}`),
      upload: async () => log.push("upload"),
      onReady: () => log.push("ready"),
      onChange: () => changed(regions.state),
    },
    0,
  );
  const until = (state) =>
    new Promise((resolve) => {
      changed = (now) => now === state && resolve();
      if (regions.state === state) resolve();
    });
  return { regions, entry, asked, log, until };
}

test("the visible part is asked for after a rest, and answers once it is encoded and prepared", async () => {
  const { regions, entry, asked, log, until } = about(QUEUED, READY);
  regions.look(entry, HERE);
  assert.equal(asked.length, 0);
  assert.equal(regions.regionFor(entry, click), null);
  await until("ready");
  const [{ id, region, model }] = asked;
  assert.deepEqual([id, model], ["id", "m"]);
  assert.deepEqual(log, ["pause 1", `prepare ${region}`, "ready"]);
  assert.deepEqual(regions.regionFor(entry, click), region);
});

test("a view that moves on before it rests asks for nothing on its way", async () => {
  const { regions, entry, asked, until } = about(READY);
  for (const x of [500, 1500, 2500, 3500, 5000]) regions.look(entry, at(x, 2000));
  regions.look(entry, HERE);
  await until("ready");
  assert.equal(asked.length, 1);
});

test("a little pan costs nothing, and coming back to an encoded part neither", async () => {
  const { regions, entry, asked, log, until } = about(READY);
  regions.look(entry, HERE);
  await until("ready");
  regions.look(entry, at(3030, 2010));
  assert.equal(regions.state, "ready");
  regions.look(entry, THERE);
  assert.equal(regions.state, "pending");
  await until("ready");
  regions.look(entry, HERE);
  assert.equal(regions.state, "ready");
  assert.equal(asked.length, 2);
  assert.equal(log.filter((what) => what === "ready").length, 3);
});

test("only the part that is seen is waited for", async () => {
  let encode;
  const { regions, entry, asked, log, until } = about(new Promise((resolve) => (encode = resolve)), READY);
  regions.look(entry, HERE);
  while (asked.length === 0) await new Promise(setImmediate);
  regions.look(entry, THERE);
  assert.ok(asked[0].signal.aborted);
  encode(READY);
  await until("ready");
  assert.deepEqual(log, [`prepare ${asked[1].region}`, "ready"]);
});

test("a prompt that lies in part outside is the whole picture's, and so is one that refines a drawn mask", async () => {
  const { regions, entry, until } = about(READY);
  regions.look(entry, HERE);
  await until("ready");
  assert.equal(regions.regionFor(entry, hoverStep(100, 100)), null);
  assert.equal(regions.regionFor(entry, { ...click, drawn: {} }), null);
});

test("zoomed out, or without a picture, there is no region", async () => {
  const { regions, entry, until } = about(READY);
  regions.look(entry, HERE);
  await until("ready");
  regions.look(entry, { window: { x: 0, y: 0, ...size }, density: 0.2 });
  assert.equal(regions.state, "none");
  assert.equal(regions.regionFor(entry, click), null);
  regions.look(entry, HERE);
  assert.equal(regions.state, "ready");
  regions.look(null, HERE);
  assert.equal(regions.state, "none");
});

test("a picture that is encoded again starts without regions", async () => {
  const { regions, entry, asked, until } = about(READY);
  regions.look(entry, HERE);
  await until("ready");
  entry.image = { image_id: "id", model: "other" };
  assert.equal(regions.regionFor(entry, click), null);
  regions.look(entry, HERE);
  await until("ready");
  assert.deepEqual(asked.map(({ model }) => model), ["m", "other"]);
});

test("another decoder has to prepare the regions anew", async () => {
  const { regions, entry, log, until } = about(READY);
  regions.look(entry, HERE);
  await until("ready");
  regions.reset();
  assert.equal(regions.regionFor(entry, click), null);
  regions.look(entry, HERE);
  await until("ready");
  assert.equal(log.filter((what) => what.startsWith("prepare")).length, 2);
});

for (const code of ["rate-limited", "overloaded", "offline"]) {
  test(`${code} is waited for`, async () => {
    const { regions, entry, log, until } = about(new Problem(code, { retryAfter: 90 }), READY);
    regions.look(entry, HERE);
    await until("ready");
    assert.equal(log[0], "pause 30");
  });
}

test("a service that stays busy is not asked for ever", async () => {
  const { regions, entry, asked, until } = about(new Problem("overloaded"));
  regions.look(entry, HERE);
  await until("refused");
  assert.equal(asked.length, 20);
});

for (const problem of [new Problem("invalid-parameter", { status: 422 }), new Problem("image-not-found", { status: 404 })]) {
  test(`${problem.code} leaves the whole picture to answer, and is not asked again for this part`, async () => {
    const { regions, entry, asked, log, until } = about(problem);
    regions.look(entry, HERE);
    await until("refused");
    regions.look(entry, HERE);
    assert.equal(regions.regionFor(entry, click), null);
    assert.equal(asked.length, 1);
    assert.deepEqual(log, []);
  });
}

test("a region that the worker fails at is left", async () => {
  const { regions, entry, until } = about({ status: "failed", error: { code: "encode-failed", detail: "" } });
  regions.look(entry, HERE);
  await until("refused");
});

test("a file that the service no longer keeps is sent again, once for a picture", async () => {
  const expired = new Problem("image-expired", { status: 410 });
  const { regions, entry, log, until } = about(expired, READY, expired);
  regions.look(entry, HERE);
  await until("ready");
  assert.deepEqual(log.slice(0, 1), ["upload"]);
  regions.look(entry, THERE);
  await until("refused");
  assert.equal(log.filter((what) => what === "upload").length, 1);
});

test("a region that fails at prompts is asked for again, three times at most", async () => {
  const { regions, entry, asked, until } = about(READY);
  for (let losses = 1; losses <= 3; losses++) {
    regions.look(entry, HERE);
    await until("ready");
    regions.lost(entry, regions.regionFor(entry, click));
    assert.equal(regions.state, "pending");
  }
  regions.look(entry, HERE);
  assert.equal(regions.state, "none");
  assert.equal(asked.length, 3);
});

test("only the last few regions of a picture are remembered", async () => {
  const { regions, entry, asked, until } = about(READY);
  const places = Array.from({ length: 18 }, (_, k) => at(400 + (k % 6) * 1000, 400 + Math.floor(k / 6) * 1000));
  for (const place of places) {
    regions.look(entry, place);
    await until("ready");
  }
  regions.look(entry, places[17]);
  regions.look(entry, places[3]);
  assert.equal(regions.state, "ready");
  regions.look(entry, places[0]);
  assert.equal(regions.state, "pending");
  assert.equal(new Set(asked.map(({ region }) => String(region))).size, 18);
});

const BBOX = [2900, 1900, 60, 40];
const AROUND = [2560, 1536, 3072, 2048];
const WHOLE_VIEW = { window: { x: 0, y: 0, ...size }, density: 0.2 };

test("around an object the service chooses the region, which gives finer masks and no first ones", async () => {
  const { regions, entry, asked, log, until } = about({ ...QUEUED, region: AROUND }, READY);
  regions.lookAround(entry, BBOX);
  assert.equal(regions.state, "finding");
  regions.look(entry, WHOLE_VIEW);
  regions.lookAround(entry, BBOX);
  await until("found");
  assert.deepEqual(asked.map(({ region, around }) => region ?? around), [[[2900, 1900, 2960, 1940]], AROUND]);
  assert.deepEqual(log.slice(1), [`prepare ${AROUND}`, "ready"]);
  assert.equal(regions.regionFor(entry, click), null);
  assert.deepEqual(regions.finerFor(entry, click), AROUND);
});

test("an object that the whole picture shows well has no region", async () => {
  const { regions, entry, asked, until } = about({ ...READY, region: null });
  regions.lookAround(entry, BBOX);
  await until("refused");
  assert.equal(regions.finerFor(entry, click), null);
  regions.lookAround(entry, BBOX);
  assert.equal(asked.length, 1);
});

test("the visible part goes before an object", async () => {
  const { regions, entry, asked, until } = about(READY);
  regions.look(entry, HERE);
  regions.lookAround(entry, BBOX);
  await until("ready");
  assert.deepEqual(asked.map(({ around }) => around), [undefined]);
});

test("who zooms in on the region of an object has it for everything there", async () => {
  const { regions, entry, asked, until } = about({ ...READY, region: AROUND });
  regions.lookAround(entry, BBOX);
  await until("found");
  regions.look(entry, { window: { x: 2600, y: 1600, width: 400, height: 300 }, density: 3 });
  assert.equal(regions.state, "ready");
  assert.deepEqual(regions.regionFor(entry, hoverStep(2800, 1800)), AROUND);
  assert.equal(asked.length, 1);
});

test("a picture that the encoder sees in full has no regions", () => {
  const { regions, entry } = about(READY);
  entry.size = { width: 1000, height: 700 };
  regions.lookAround(entry, [100, 100, 30, 30]);
  assert.equal(regions.state, "none");
});
