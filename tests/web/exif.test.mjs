import assert from "node:assert/strict";
import { test } from "node:test";

import { orientationIn } from "../../prompt_api/web/exif.js";

/** A TIFF structure whose first directory has one value. */
function tiff(little, { tag = 0x0112, kind = 3, count = 1, value = 6 } = {}) {
  const view = new DataView(new ArrayBuffer(26));
  [...(little ? "II*\0" : "MM\0*")].forEach((character, at) => view.setUint8(at, character.charCodeAt(0)));
  view.setUint32(4, 8, little);
  view.setUint16(8, 1, little);
  view.setUint16(10, tag, little);
  view.setUint16(12, kind, little);
  view.setUint32(14, count, little);
  if (kind === 3) view.setUint16(18, value, little);
  else view.setUint32(18, value, little);
  return Buffer.from(view.buffer);
}

function webp(...chunks) {
  const body = Buffer.concat(chunks.map(([name, data]) => {
    const head = Buffer.alloc(8);
    head.write(name, "latin1");
    head.writeUInt32LE(data.length, 4);
    return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
  }));
  const head = Buffer.alloc(12);
  head.write("RIFF");
  head.writeUInt32LE(body.length + 4, 4);
  head.write("WEBP", 8);
  return arrayBuffer(Buffer.concat([head, body]));
}

function png(...chunks) {
  const parts = chunks.map(([name, data]) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(data.length);
    head.write(name, 4, "latin1");
    return Buffer.concat([head, data, Buffer.alloc(4)]);
  });
  return arrayBuffer(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]));
}

function arrayBuffer(buffer) {
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.length);
}

test("the orientation is found in either byte order, as SHORT or LONG, wherever the chunk is", () => {
  for (const little of [true, false]) {
    for (const kind of [3, 4]) {
      for (const value of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const exif = tiff(little, { kind, value });
        assert.equal(orientationIn(webp(["VP8X", Buffer.alloc(10)], ["VP8 ", Buffer.alloc(7)], ["EXIF", exif]), "webp"), value);
        assert.equal(orientationIn(png(["IHDR", Buffer.alloc(13)], ["eXIf", exif], ["IEND", Buffer.alloc(0)]), "png"), value);
      }
    }
  }
});

test("a WEBP may have the header that JPEG puts before the TIFF, and it is skipped", () => {
  const exif = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), tiff(true)]);
  assert.equal(orientationIn(webp(["EXIF", exif]), "webp"), 6);
});

test("the orientation is 1 if none can be read", () => {
  const none = [{ tag: 0x0100 }, { kind: 2 }, { count: 2 }, { value: 0 }, { value: 9 }].map((fields) => tiff(true, fields));
  for (const exif of [...none, Buffer.from("nonsense"), Buffer.alloc(0), tiff(true).subarray(0, 15)]) {
    assert.equal(orientationIn(webp(["EXIF", exif]), "webp"), 1);
    assert.equal(orientationIn(png(["eXIf", exif], ["IEND", Buffer.alloc(0)]), "png"), 1);
  }
});

test("a file cut off anywhere is not an error", () => {
  for (const [file, format] of [[webp(["EXIF", tiff(true)]), "webp"], [png(["eXIf", tiff(false)]), "png"]]) {
    for (let length = 12; length < file.byteLength; length++) {
      assert.ok([1, 6].includes(orientationIn(file.slice(0, length), format)));
    }
  }
});
