/**
 * Run-length packed bytes as Label Studio stores the mask of a brush.
 *
 * Source: thi.ng/umbrella, packages/rle-pack. The header has the number of values in 32 bits, the bits per value minus 1
 * in 5 bits, and four widths of lengths minus 1 in 4 bits each. Then come the runs: a bit 1, the index of the width in 2
 * bits, the length minus 1, and the value.
 */

/** A brush stores RGBA. For a mask, all four are equal. */
const CHANNELS = 4;
const VALUE_BITS = 8;
const LENGTH_BITS = [3, 4, 8, 16];
const LONGEST = 2 ** LENGTH_BITS.at(-1);
const INSIDE = 255;

/**
 * The bytes that `label_studio_sdk.converter.brush.mask2rle` writes for the same mask.
 * @param {number[]} runs along the rows of the whole picture, as `rowRuns` returns them
 * @param {number} pixels of the picture
 * @returns {Uint8Array}
 */
export function packed(runs, pixels) {
  const pieces = runs.reduce((sum, run) => sum + Math.ceil((run * CHANNELS) / LONGEST), 0);
  const bits = new Bits(68 + pieces * (3 + LENGTH_BITS.at(-1) + VALUE_BITS));
  bits.write(pixels * CHANNELS, 32);
  bits.write(VALUE_BITS - 1, 5);
  for (const width of LENGTH_BITS) bits.write(width - 1, 4);
  runs.forEach((run, index) => {
    for (let left = run * CHANNELS; left > 0; left -= LONGEST) {
      const length = Math.min(left, LONGEST);
      const width = LENGTH_BITS.findIndex((one) => length <= 2 ** one);
      bits.write(1, 1);
      bits.write(width, 2);
      bits.write(length - 1, LENGTH_BITS[width]);
      bits.write(index % 2 === 1 ? INSIDE : 0, VALUE_BITS);
    }
  });
  return bits.bytes;
}

/** Numbers one after the other, each in its width, highest bit first. At least one bit 0 follows the last. */
class Bits {
  #bytes;
  #at = 0;

  /** @param {number} most bits that are written */
  constructor(most) {
    this.#bytes = new Uint8Array(Math.floor(most / 8) + 1);
  }

  write(number, width) {
    for (let left = width; left > 0; ) {
      const free = 8 - (this.#at & 7);
      const count = Math.min(free, left);
      const part = Math.floor(number / 2 ** (left - count)) % 2 ** count;
      this.#bytes[this.#at >> 3] |= part << (free - count);
      this.#at += count;
      left -= count;
    }
  }

  get bytes() {
    return this.#bytes.subarray(0, (this.#at >> 3) + 1);
  }
}
