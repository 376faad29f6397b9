/**
 * Reads the EXIF orientation of WEBP and PNG files as the service does. Browsers apply it for some formats only.
 * Sources: RFC 9649, section 2; PNG, third edition, section 5; TIFF 6.0, section 2; Exif 2.32, section 4.6.4.
 */

const ORIENTATION = 0x0112;
const SHORT = 3;
const LONG = 4;
const EXIF_HEADER = "Exif\0\0";

/** Pictures of two pixels side by side, with the orientation that puts one above the other. */
const PROBES = {
  webp: "UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=",
  png: "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAGmVYSWZNTQAqAAAACAABARIAAwAAAAEABgAAAAAAANZnS2kAAAAPSURBVHicY2BgYGBgYAAAAAcAAVchYhkAAAAASUVORK5CYII=",
};

const obeyed = {};

/**
 * Returns the orientation that still has to be applied to the pixels that `createImageBitmap` gives for a file.
 * @param {Blob} file
 * @returns {Promise<number>} EXIF orientation, 1 to 8; 1 if nothing is left to do
 */
export async function remainingOrientation(file) {
  const format = formatOf(textOf(new Uint8Array(await file.slice(0, 12).arrayBuffer())));
  if (!format) return 1;
  const orientation = orientationIn(await file.arrayBuffer(), format);
  if (orientation === 1) return 1;
  obeyed[format] ??= isObeyed(PROBES[format]);
  return (await obeyed[format]) ? 1 : orientation;
}

/**
 * @param {ArrayBuffer} buffer a whole file
 * @param {"webp"|"png"} format
 * @returns {number} 1 to 8; 1 if no orientation can be read
 */
export function orientationIn(buffer, format) {
  try {
    const tiff = CHUNKS[format](new DataView(buffer));
    return tiff ? firstOrientation(tiff) : 1;
  } catch (error) {
    if (error instanceof RangeError) return 1; // it ends inside a field
    throw error;
  }
}

function formatOf(start) {
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "webp";
  return start.startsWith("\x89PNG\r\n\x1a\n") ? "png" : null;
}

const CHUNKS = { webp: exifOfWebp, png: exifOfPng };

function exifOfWebp(file) {
  const stop = Math.min(file.byteLength, 8 + file.getUint32(4, true));
  for (let at = 12; at + 8 <= stop; ) {
    const length = file.getUint32(at + 4, true);
    if (nameAt(file, at) === "EXIF" && length > 0) {
      const skipped = textAt(file, at + 8, EXIF_HEADER.length) === EXIF_HEADER ? EXIF_HEADER.length : 0;
      return part(file, at + 8 + skipped, length - skipped);
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

function exifOfPng(file) {
  let found = null;
  for (let at = 8; at + 8 <= file.byteLength; at += 12 + file.getUint32(at)) {
    const name = nameAt(file, at + 4);
    if (name === "eXIf") found = part(file, at + 8, file.getUint32(at));
    if (name === "IEND") break;
  }
  return found;
}

function firstOrientation(tiff) {
  const order = textAt(tiff, 0, 4);
  if (order !== "II*\0" && order !== "MM\0*") return 1;
  const little = order === "II*\0";
  const start = tiff.getUint32(4, little);
  const entries = tiff.getUint16(start, little);
  for (let at = start + 2; at < start + 2 + 12 * entries; at += 12) {
    const kind = tiff.getUint16(at + 2, little);
    const isOne = tiff.getUint32(at + 4, little) === 1 && (kind === SHORT || kind === LONG);
    if (tiff.getUint16(at, little) !== ORIENTATION || !isOne) continue;
    const value = kind === SHORT ? tiff.getUint16(at + 8, little) : tiff.getUint32(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

async function isObeyed(probe) {
  const bytes = Uint8Array.from(atob(probe), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]), { imageOrientation: "from-image" });
  return bitmap.height === 2;
}

function part(file, start, length) {
  return new DataView(file.buffer, file.byteOffset + start, length);
}

function nameAt(view, at) {
  return textAt(view, at, 4);
}

function textAt(view, at, length) {
  return textOf(new Uint8Array(view.buffer, view.byteOffset + at, Math.min(length, Math.max(0, view.byteLength - at))));
}

function textOf(bytes) {
  return String.fromCharCode(...bytes);
}
