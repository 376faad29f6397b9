/** A tree of boxes around the vertices of many rings. It finds the nearest vertex of another group of rings. */

const LEAF = 8;

/** Owner of a box whose vertices belong to several groups. */
const MIXED = -1;

export class VertexTree {
  /** @type {[number, number][]} the vertices of all rings, ring after ring */
  points;
  /** @type {Int32Array} where each ring starts in `points`; at last, the number of points */
  starts;
  /** @type {Int32Array} the ring of each vertex */
  ringOf;
  /** How many boxes and vertices were looked at so far. Tests bound it. */
  visited = 0;

  /** The vertices in the order of the leaves. */
  #order;
  #leaves = 1;
  /** Four numbers for each node: least x, least y, greatest x, greatest y. Node n has the children 2n and 2n + 1. */
  #boxes;
  #owners;
  #groups = null;

  #x = 0;
  #y = 0;
  #group = 0;
  #limit = 0;
  #found = -1;

  /** @param {import("./rings.js").Ring[]} rings at least one, each with at least one vertex */
  constructor(rings) {
    this.points = rings.flat();
    this.starts = new Int32Array(rings.length + 1);
    this.ringOf = new Int32Array(this.points.length);
    rings.forEach((ring, index) => {
      this.starts[index + 1] = this.starts[index] + ring.length;
      this.ringOf.fill(index, this.starts[index], this.starts[index + 1]);
    });
    this.#order = neighboursTogether(this.points);
    while (this.#leaves * LEAF < this.points.length) this.#leaves *= 2;
    this.#boxes = this.#boxed();
    this.#owners = new Int32Array(2 * this.#leaves);
  }

  /** @param {Int32Array} groups the group of each ring, at least 0 */
  regroup(groups) {
    this.#groups = groups;
    this.#owners.fill(MIXED);
    for (let leaf = 0; leaf < this.#leaves; leaf++) {
      const owners = this.#inLeaf(leaf).map((vertex) => groups[this.ringOf[vertex]]);
      if (owners.every((owner) => owner === owners[0])) this.#owners[this.#leaves + leaf] = owners[0] ?? MIXED;
    }
    for (let node = this.#leaves - 1; node > 0; node--) {
      const [left, right] = [this.#owners[2 * node], this.#owners[2 * node + 1]];
      this.#owners[node] = left === right ? left : MIXED;
    }
  }

  /**
   * The nearest vertex of another group, and the square of its distance. The vertex is -1 if none is nearer than that.
   * @param {number} vertex
   * @param {number} limit the square of the distance
   * @returns {[number, number]}
   */
  nearestOther(vertex, limit) {
    [this.#x, this.#y] = this.points[vertex];
    this.#group = this.#groups[this.ringOf[vertex]];
    this.#limit = limit;
    this.#found = -1;
    this.#search(1);
    return [this.#found, this.#limit];
  }

  #search(node) {
    this.visited++;
    if (node >= this.#leaves) {
      this.#searchLeaf(node - this.#leaves);
      return;
    }
    const [left, right] = [this.#away(2 * node), this.#away(2 * node + 1)];
    const near = left <= right ? 2 * node : 2 * node + 1;
    if (Math.min(left, right) < this.#limit) this.#search(near);
    if (Math.max(left, right) < this.#limit) this.#search(near ^ 1);
  }

  #searchLeaf(leaf) {
    for (const vertex of this.#inLeaf(leaf)) {
      this.visited++;
      if (this.#groups[this.ringOf[vertex]] === this.#group) continue;
      const [x, y] = this.points[vertex];
      const away = (x - this.#x) ** 2 + (y - this.#y) ** 2;
      if (away < this.#limit) [this.#found, this.#limit] = [vertex, away];
    }
  }

  #inLeaf(leaf) {
    return this.#order.subarray(leaf * LEAF, (leaf + 1) * LEAF);
  }

  /** The square of the distance to a node's box. It is infinite if only the vertex's own group is in there. */
  #away(node) {
    if (this.#owners[node] === this.#group) return Infinity;
    const box = 4 * node;
    const across = Math.max(this.#boxes[box] - this.#x, 0, this.#x - this.#boxes[box + 2]);
    const down = Math.max(this.#boxes[box + 1] - this.#y, 0, this.#y - this.#boxes[box + 3]);
    return across * across + down * down;
  }

  /** The boxes of all nodes. That of an unused leaf is infinitely far from everything. */
  #boxed() {
    const boxes = new Float64Array(8 * this.#leaves);
    for (let node = this.#leaves; node < 2 * this.#leaves; node++) {
      boxes.set([Infinity, Infinity, -Infinity, -Infinity], 4 * node);
    }
    this.#order.forEach((vertex, index) => {
      const [x, y] = this.points[vertex];
      grow(boxes, 4 * (this.#leaves + Math.floor(index / LEAF)), x, y, x, y);
    });
    for (let node = this.#leaves - 1; node > 0; node--) {
      boxes.copyWithin(4 * node, 8 * node, 8 * node + 4);
      grow(boxes, 4 * node, ...boxes.subarray(8 * node + 4, 8 * node + 8));
    }
    return boxes;
  }
}

function grow(boxes, at, left, top, right, bottom) {
  boxes[at] = Math.min(boxes[at], left);
  boxes[at + 1] = Math.min(boxes[at + 1], top);
  boxes[at + 2] = Math.max(boxes[at + 2], right);
  boxes[at + 3] = Math.max(boxes[at + 3], bottom);
}

/**
 * The vertices in an order in which near ones mostly come together: that of the Z-order curve (Morton 1966).
 * @param {[number, number][]} points
 */
function neighboursTogether(points) {
  const least = [0, 1].map((axis) => points.reduce((low, point) => Math.min(low, point[axis]), Infinity));
  const most = points.reduce((high, [x, y]) => Math.max(high, x - least[0], y - least[1]), 1);
  const places = Float64Array.from(points, (point) => {
    const [x, y] = point.map((value, axis) => spread(((value - least[axis]) / most) * 0xffff));
    return x + 2 * y;
  });
  return Uint32Array.from(points.keys()).sort((a, b) => places[a] - places[b]);
}

/** Moves bit n of a number of 16 bits to bit 2n. */
function spread(value) {
  let bits = value & 0xffff;
  for (const [by, mask] of [[8, 0x00ff00ff], [4, 0x0f0f0f0f], [2, 0x33333333], [1, 0x55555555]]) {
    bits = (bits | (bits << by)) & mask;
  }
  return bits;
}
