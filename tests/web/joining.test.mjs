import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { joined, shortestCuts } from "../../prompt_api/web/joining.js";
import { allRings, polygons, signedArea } from "../../prompt_api/web/polygons.js";
import { VertexTree } from "../../prompt_api/web/vertex-tree.js";

const read = (name) => JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), "utf8"));

/** Numbers from 0 to 1 that are the same in each run. */
function randomNumbers(seed) {
  let state = seed;
  return () => (state = (state * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32;
}

function block(x, y, side = 3) {
  return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]];
}

function circle(x, y, radius, corners) {
  return Array.from({ length: corners }, (_, corner) => {
    const angle = (2 * Math.PI * corner) / corners;
    return [Math.round(x + radius * Math.cos(angle)), Math.round(y + radius * Math.sin(angle))];
  });
}

const square = (count) => Math.round(Math.sqrt(count));

/** Makers of many rings, by name. */
const MANY = {
  "blocks in rows": (count) =>
    Array.from({ length: count }, (_, i) => block((i % square(count)) * 10, Math.floor(i / square(count)) * 10)),
  "blocks anywhere": (count) => {
    const random = randomNumbers(5);
    return Array.from({ length: count }, () => block(Math.floor(random() * 4000), Math.floor(random() * 3000)));
  },
  "blocks that touch at their corners": (count) =>
    Array.from({ length: count }, (_, i) => {
      const row = Math.floor(i / square(count));
      return block((i % square(count)) * 6 + (row % 2) * 3, row * 3);
    }),
  "blocks in a line": (count) => Array.from({ length: count }, (_, i) => block(i * 10, 0)),
  "rings in each other": (count) => Array.from({ length: count }, (_, i) => circle(9000, 9000, 4 * i + 4, 40)),
  "holes of one large part": (count) => {
    const random = randomNumbers(6);
    const hole = () => block(Math.floor(1000 + random() * 2000), Math.floor(1000 + random() * 2000)).reverse();
    return [circle(2000, 2000, 1990, 5 * count), ...Array.from({ length: count - 1 }, hole)];
  },
};

function edgesOf(ring) {
  return ring.map((point, index) => `${point} ${ring[(index + 1) % ring.length]}`);
}

/** Adds to the counts of each edge, by its ends in their order. */
function count(edges, counts = new Map(), by = 1) {
  for (const edge of edges) counts.set(edge, (counts.get(edge) ?? 0) + by);
  return counts;
}

/** Checks that the ring goes along each edge once, and along cuts there and back. Returns the cuts. */
function checkedCuts(ring, rings) {
  const left = count(rings.flatMap(edgesOf), count(edgesOf(ring)), -1);
  const cuts = [];
  for (const [edge, times] of left) {
    const [from, to] = edge.split(" ");
    assert.ok(times >= 0, `the edge ${edge} is missing`);
    assert.equal(left.get(`${to} ${from}`) ?? 0, times, `the cut ${edge} is passed one way only`);
    for (let time = 0; time < times; time++) cuts.push(edge);
  }
  assert.equal(ring.length, rings.flat().length + 2 * (rings.length - 1));
  return cuts;
}

/** The middles of pixels that lie in one of the rings, or in an odd number of them. */
function filled(rings) {
  const crossings = new Map();
  for (const ring of rings) {
    for (let i = 0, [px, py] = ring.at(-1); i < ring.length; [px, py] = ring[i++]) {
      const [x, y] = ring[i];
      for (let row = Math.ceil(Math.min(y, py) - 0.5); row + 0.5 < Math.max(y, py); row++) {
        if (!crossings.has(row)) crossings.set(row, []);
        crossings.get(row).push(px + ((row + 0.5 - py) / (y - py)) * (x - px));
      }
    }
  }
  const pixels = [];
  for (const [row, places] of [...crossings].sort(([a], [b]) => a - b)) {
    places.sort((a, b) => a - b);
    for (let i = 0; i < places.length; i += 2) {
      for (let x = Math.ceil(places[i] - 0.5); x + 0.5 < places[i + 1]; x++) pixels.push(`${x} ${row}`);
    }
  }
  return pixels;
}

function lengthOf(points, cuts) {
  return cuts.reduce((sum, [a, b]) => sum + Math.hypot(points[a][0] - points[b][0], points[a][1] - points[b][1]), 0);
}

/** The least sum of cuts by Prim's algorithm, which compares all pairs of vertices. */
function leastLength(rings) {
  const away = (one, other) =>
    Math.min(...one.flatMap(([ax, ay]) => other.map(([bx, by]) => Math.hypot(ax - bx, ay - by))));
  const [first, ...others] = rings;
  const open = new Map(others.map((ring) => [ring, away(first, ring)]));
  let sum = 0;
  while (open.size > 0) {
    const [next, length] = [...open].reduce((best, one) => (one[1] < best[1] ? one : best));
    sum += length;
    open.delete(next);
    for (const [ring, before] of open) open.set(ring, Math.min(before, away(next, ring)));
  }
  return sum;
}

for (const vector of [...read("rle"), ...read("sam-masks")]) {
  const rings = allRings(polygons({ rle: vector }));
  if (rings.length === 0) continue;
  test(`${vector.name}: ${rings.length} rings become one that covers the same pixels`, () => {
    for (const tolerance of [0, 1]) {
      const slim = allRings(polygons({ rle: vector }, tolerance));
      const ring = joined(slim);
      checkedCuts(ring, slim);
      assert.ok(Math.abs(signedArea(ring) - slim.reduce((sum, one) => sum + signedArea(one), 0)) < 1e-6);
      assert.deepEqual(filled([ring]), filled(slim));
    }
  });
}

for (const [name, rings] of Object.entries(MANY)) {
  test(`${name}: 2,000 rings become one ring`, () => {
    const many = rings(2000);
    const ring = joined(many);
    assert.ok(checkedCuts(ring, many).length <= 2 * (many.length - 1));
  });

  test(`${name}: the work grows with the number of vertices, and not with its square`, () => {
    const [few, many] = [500, 4000].map((number) => {
      const tree = new VertexTree(rings(number));
      assert.equal(shortestCuts(tree).length, number - 1);
      return tree.visited / tree.points.length;
    });
    assert.ok(many < 700, `${many} for each vertex`);
    assert.ok(many < 2 * few, `${few} for each vertex of 500 rings, ${many} of 4,000`);
  });
}

for (let seed = 1; seed <= 8; seed++) {
  test(`no other cuts are shorter together, ${seed}`, () => {
    const random = randomNumbers(seed);
    const place = () => Math.floor(random() * 60);
    const rings = Array.from({ length: 2 + Math.floor(random() * 30) }, () =>
      Array.from({ length: 3 + Math.floor(random() * 9) }, () => [place(), place()]),
    );
    const tree = new VertexTree(rings);
    const cuts = shortestCuts(tree);
    assert.equal(cuts.length, rings.length - 1);
    assert.ok(Math.abs(lengthOf(tree.points, cuts) - leastLength(rings)) < 1e-6);
  });
}

test("one ring stays as it is", () => {
  assert.deepEqual(joined([block(1, 2)]), block(1, 2));
});

test("a cut leads from the nearest vertex to the nearest vertex and back", () => {
  const ring = joined([block(0, 0, 2), block(5, 0, 2)]);
  assert.deepEqual(ring, [[0, 0], [2, 0], [5, 0], [7, 0], [7, 2], [5, 2], [5, 0], [2, 0], [2, 2], [0, 2]]);
});
