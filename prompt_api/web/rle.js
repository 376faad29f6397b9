/**
 * COCO compressed run-length masks: decodes them, and samples any window of them at any size.
 *
 * Format: github.com/cocodataset/cocoapi, common/maskApi.c (rleFrString, rleDecode). Runs go down the
 * columns. The first run counts background.
 */

/**
 * Run lengths of a compressed `counts` string: background, mask, background, …
 * @param {string} counts
 * @returns {number[]}
 * @throws {RangeError} the string ends inside a number or holds a character outside the alphabet
 */
export function decodeRuns(counts) {
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let shift = 0;
    let digit;
    do {
      digit = counts.charCodeAt(at++) - 48;
      if (!(digit >= 0 && digit < 64)) throw new RangeError("not a COCO run-length string");
      value |= (digit & 0x1f) << shift;
      shift += 5;
    } while (digit & 0x20);
    if (digit & 0x10) value |= -1 << shift;
    // From the fourth number on, each is stored as the difference to the one two places before.
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/**
 * The compressed `counts` string of run lengths, as pycocotools writes it.
 *
 * Source: github.com/cocodataset/cocoapi, common/maskApi.c (rleToString).
 * @param {ArrayLike<number>} runs background, mask, background, …
 * @returns {string}
 */
export function encodeRuns(runs) {
  // A difference of two runs has at most 33 bits, which are seven digits.
  const digits = new Uint8Array(runs.length * 7);
  let count = 0;
  for (let i = 0; i < runs.length; i++) {
    let left = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more; ) {
      let digit = left & 0x1f;
      left = Math.floor(left / 32);
      more = left !== (digit & 0x10 ? -1 : 0);
      if (more) digit |= 0x20;
      digits[count++] = digit + 48;
    }
  }
  return new TextDecoder().decode(digits.subarray(0, count));
}

/**
 * A window of a mask, sampled at the centres of the output's pixels.
 *
 * Cost: the runs inside the window plus one byte per output pixel, so a 50-megapixel mask shown on a
 * phone costs no more than a small one.
 * @param {ArrayLike<number>} runs as `decodeRuns` returns them
 * @param {[number, number]} size [height, width] of the mask, in pixels of the picture
 * @param {{x: number, y: number, width: number, height: number}} window in pixels of the picture, inside it
 * @param {number} outWidth pixels
 * @param {number} outHeight pixels
 * @returns {Uint8Array} outWidth * outHeight values 0 or 1, column-major: (x, y) is at x * outHeight + y
 */
export function rasterize(runs, [height], window, outWidth, outHeight) {
  const out = new Uint8Array(outWidth * outHeight);
  const rowScale = outHeight / window.height;
  // First output row whose centre samples row `y` of the mask or a later one.
  const rowFrom = (y) => Math.min(outHeight, Math.max(0, Math.ceil((y - window.y) * rowScale - 0.5)));
  let run = 0;
  let runStart = 0;
  let previous = -1;
  for (let column = 0; column < outWidth; column++) {
    const x = Math.floor(window.x + ((column + 0.5) * window.width) / outWidth);
    const base = column * outHeight;
    if (x === previous) {
      out.copyWithin(base, base - outHeight, base);
      continue;
    }
    previous = x;
    const from = x * height;
    const to = from + height;
    while (run < runs.length && runStart + runs[run] <= from) runStart += runs[run++];
    // The run that crosses into the next column is read again there, so this loop has an index of its own.
    for (let i = run, start = runStart; i < runs.length && start < to; start += runs[i++]) {
      if (i % 2 === 0) continue;
      const top = rowFrom(Math.max(start - from, 0));
      const bottom = rowFrom(Math.min(start + runs[i] - from, height));
      if (bottom > top) out.fill(1, base + top, base + bottom);
    }
  }
  return out;
}
