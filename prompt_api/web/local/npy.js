/** Reads the image embedding from the `.npy` file that the service sends. */

const MAGIC = "\x93NUMPY";
const HEADER_AT = 10;

/**
 * The numbers of a `.npy` file of little-endian float16, as float32.
 * @param {ArrayBuffer} buffer
 * @param {number[]} shape the shape that the file must have
 * @returns {Float32Array}
 * @throws {RangeError} the file is of another kind or incomplete
 *
 * Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.
 */
export function readFloat16(buffer, shape) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < HEADER_AT || text(bytes.subarray(0, 6)) !== MAGIC) throw new RangeError("not a .npy file");
  const start = HEADER_AT + bytes[8] + 256 * bytes[9];
  const header = text(bytes.subarray(HEADER_AT, start));
  const expected = [/'descr': '<f2'/, /'fortran_order': False/, new RegExp(`'shape': \\(${shape.join(", ")}\\)`)];
  if (!expected.every((part) => part.test(header))) throw new RangeError(`not the embedding: ${header.trim()}`);
  const count = shape.reduce((product, side) => product * side);
  if (bytes.length !== start + 2 * count) throw new RangeError("the embedding is not whole");
  return toFloat32(new Uint16Array(buffer.slice(start)));
}

/** Exact for every finite number, because only the exponent's bias differs, by 112. */
function toFloat32(halves) {
  const bits = new Uint32Array(halves.length);
  for (let k = 0; k < halves.length; k++) bits[k] = ((halves[k] & 0x8000) << 16) | ((halves[k] & 0x7fff) << 13);
  const floats = new Float32Array(bits.buffer);
  for (let k = 0; k < floats.length; k++) floats[k] *= 2 ** 112;
  return floats;
}

function text(bytes) {
  return String.fromCharCode(...bytes);
}
