/** A mask as its vertical runs, read from run lengths. `local/runs.js` writes run lengths from them. */

import { decodeRuns } from "./rle.js";

/**
 * @param {{size: [number, number], counts: string}} rle COCO compressed run-length encoding
 * @returns {import("./local/runs.js").ColumnRuns}
 * @throws {RangeError} the runs do not fill the size
 */
export function columnRuns({ size, counts }) {
  const [height, width] = size;
  const [x, top, bottom] = [[], [], []];
  let place = 0;
  decodeRuns(counts).forEach((length, index) => {
    if (!(length >= 0 && place + length <= height * width)) throw new RangeError("the runs do not fit the size");
    const end = place + length;
    if (index % 2 === 0) {
      place = end;
      return;
    }
    while (place < end) {
      const column = Math.floor(place / height);
      const stop = Math.min(end, (column + 1) * height);
      const last = x.length - 1;
      // A run of background of length 0 does not part two runs of mask.
      if (last >= 0 && x[last] === column && bottom[last] === place - column * height) {
        bottom[last] = stop - column * height;
      } else {
        x.push(column);
        top.push(place - column * height);
        bottom.push(stop - column * height);
      }
      place = stop;
    }
  });
  if (place !== height * width) throw new RangeError("the runs do not fit the size");
  return { size, x: Int32Array.from(x), top: Int32Array.from(top), bottom: Int32Array.from(bottom) };
}
