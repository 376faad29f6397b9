/** The vectors, and the inputs they were made from. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf8"));

/** Low-res logits, 256 x 256, as `hill` of make_vectors.py makes them. */
export function hill({ x: left, y: top, height, noise, seed }) {
  const logits = new Float32Array(256 * 256);
  for (let y = 0; y < 256; y++) {
    for (let x = 0; x < 256; x++) {
      let value = height - (x - left) ** 2 - 2 * (y - top) ** 2;
      if (noise) {
        const mixed = (Math.imul(x, 73856093) ^ Math.imul(y, 19349663) ^ seed) >>> 0;
        value += (mixed % (2 * noise + 1)) - noise;
      }
      logits[y * 256 + x] = value / 32;
    }
  }
  return logits;
}

export function digest(data) {
  return createHash("sha256").update(data).digest("hex");
}
