/** Joins many rings into one by cuts of no width, for formats that allow one polygon per object. */

import { VertexTree } from "./vertex-tree.js";

/**
 * One ring that goes along every edge of the given rings once, and along each cut there and back. It encloses the same
 * area. The cuts connect vertices, and together they are as short as possible.
 * @param {import("./rings.js").Ring[]} rings outer ones and holes, at least one
 * @returns {import("./rings.js").Ring}
 */
export function joined(rings) {
  const tree = new VertexTree(rings);
  const points = [...tree.points];
  const next = points.map((_, vertex) => vertex + 1);
  for (let ring = 0; ring < rings.length; ring++) next[tree.starts[ring + 1] - 1] = tree.starts[ring];
  for (const [from, to] of shortestCuts(tree)) {
    // Two rings become one: from → a second `to` → the rest of its ring → to → a second `from` → the rest of its ring.
    const [secondFrom, secondTo] = [points.length, points.length + 1];
    points.push(points[from], points[to]);
    next.push(next[from], next[to]);
    next[from] = secondTo;
    next[to] = secondFrom;
  }
  const ring = [];
  let vertex = 0;
  do {
    ring.push(points[vertex]);
    vertex = next[vertex];
  } while (vertex !== 0);
  return ring;
}

/**
 * Pairs of vertices that connect all rings with the least sum of distances: a minimum spanning tree.
 *
 * Source: Borůvka 1926. In each round every group of connected rings is connected to the nearest other group, so the
 * number of groups is halved at least.
 * @param {VertexTree} tree
 * @returns {[number, number][]}
 */
export function shortestCuts(tree) {
  const rings = tree.starts.length - 1;
  const groups = Int32Array.from({ length: rings }, (_, ring) => ring);
  // The square of a distance within which a vertex has no other group. It stays true when groups are connected.
  const free = new Float64Array(tree.points.length);
  const cuts = [];
  while (cuts.length < rings - 1) {
    tree.regroup(groups);
    for (const cut of nearestOfEach(tree, groups, free)) {
      if (cut && connect(groups, ...cut.map((vertex) => tree.ringOf[vertex]))) cuts.push(cut);
    }
    for (let ring = 0; ring < rings; ring++) groups[ring] = leader(groups, ring);
  }
  return cuts;
}

/** For each group, by its number, the pair of its vertex and the vertex of another group that are nearest. */
function nearestOfEach(tree, groups, free) {
  const cuts = new Array(groups.length);
  const least = new Float64Array(groups.length).fill(Infinity);
  for (let vertex = 0; vertex < tree.points.length; vertex++) {
    const group = groups[tree.ringOf[vertex]];
    if (free[vertex] >= least[group]) continue;
    const [other, away] = tree.nearestOther(vertex, least[group]);
    free[vertex] = least[group] = away;
    if (other >= 0) cuts[group] = [vertex, other];
  }
  return cuts;
}

/** Makes two rings members of one group. Returns false if they are already. */
function connect(groups, one, other) {
  const [first, second] = [leader(groups, one), leader(groups, other)];
  groups[first] = second;
  return first !== second;
}

/** The ring that stands for the group of `ring`. The way to it becomes shorter with each call. */
function leader(groups, ring) {
  while (groups[ring] !== ring) ring = groups[ring] = groups[groups[ring]];
  return ring;
}
