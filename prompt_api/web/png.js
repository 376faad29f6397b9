/** A mask as a one-bit greyscale PNG: white inside, black outside. Format: w3.org/TR/png-3. */

import { crc32 } from "./crc32.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * @param {ArrayLike<number>} runs as `decodeRuns` returns them
 * @param {[number, number]} size [height, width]
 * @returns {Promise<Uint8Array>}
 */
export async function maskPng(runs, [height, width]) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 1);
  const chunks = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", await deflate(scanlines(runs, height, width))),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Rows of bits, the most significant first. The zero byte before each row means "no filter". */
function scanlines(runs, height, width) {
  const stride = 1 + Math.ceil(width / 8);
  const rows = new Uint8Array(height * stride);
  let at = 0;
  for (let i = 0; i < runs.length; at += runs[i++]) {
    if (i % 2 === 0) continue;
    let [x, y] = [Math.floor(at / height), at % height];
    for (let left = runs[i]; left > 0; left--) {
      rows[y * stride + 1 + (x >> 3)] |= 0x80 >> (x & 7);
      if (++y === height) [x, y] = [x + 1, 0];
    }
  }
  return rows;
}

function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
