import assert from "node:assert/strict";
import { test } from "node:test";

import * as viewport from "../../prompt_api/web/viewport.js";

const picture = { width: 4000, height: 3000 };
const frame = { width: 1000, height: 600 };
const fitted = viewport.fit(picture, frame);

test("a fitted view centres the whole picture in the frame", () => {
  const { scale, left, top } = fitted;
  assert.ok(left > 0 && top > 0);
  assert.ok(Math.abs(left * 2 + picture.width * scale - frame.width) < 1e-9);
  assert.ok(Math.abs(top * 2 + picture.height * scale - frame.height) < 1e-9);
});

test("zooming keeps the same place of the picture under the pointer", () => {
  const at = { x: 400, y: 250 };
  const before = viewport.toPicture(fitted, at);
  const after = viewport.toPicture(viewport.zoomAt(fitted, 7, at, picture, frame), at);
  assert.ok(Math.hypot(before.x - after.x, before.y - after.y) < 1e-9);
});

test("zooming out ends at the whole picture, and zooming in at sixteen CSS pixels per picture pixel", () => {
  const near = viewport.zoomAt(fitted, 1e6, { x: 0, y: 0 }, picture, frame);
  assert.equal(near.scale, 16);
  assert.equal(viewport.zoomAt(near, 1e-6, { x: 0, y: 0 }, picture, frame).scale, fitted.scale);
});

test("a picture larger than the frame cannot be pushed out of it", () => {
  const near = viewport.actualSize(fitted, { x: 500, y: 300 }, picture, frame);
  assert.equal(near.scale, 1);
  const far = viewport.panBy(near, 1e6, -1e6, picture, frame);
  assert.deepEqual([far.left, far.top], [0, frame.height - picture.height]);
});

test("a picture smaller than the frame stays in its middle", () => {
  const small = { width: 100, height: 50 };
  const view = viewport.actualSize(viewport.fit(small, frame), { x: 0, y: 0 }, small, frame);
  assert.deepEqual([view.left, view.top], [450, 275]);
  assert.deepEqual(viewport.panBy(view, 30, 30, small, frame).left, 450);
});

test("a fitted view follows the size of the frame, and a zoomed view keeps its zoom", () => {
  const smaller = { width: 500, height: 300 };
  assert.deepEqual(viewport.reframe(fitted, picture, smaller), viewport.fit(picture, smaller));
  const near = viewport.zoomAt(fitted, 4, { x: 500, y: 300 }, picture, frame);
  assert.equal(viewport.reframe(near, picture, smaller).scale, near.scale);
});

test("a hidden place is brought into the frame, and a visible place stays", () => {
  const near = viewport.actualSize(fitted, { x: 0, y: 0 }, picture, frame);
  const view = viewport.reveal(near, { x: 3999, y: 2999 }, picture, frame);
  const window = viewport.windowOf(view, frame);
  assert.ok(window.x + window.width >= 3999 && window.y + window.height >= 2999);
  const middle = viewport.toPicture(view, { x: 500, y: 300 });
  assert.equal(viewport.reveal(view, middle, picture, frame), view);
});

test("the window is the part of the picture's plane that fills the frame", () => {
  const window = viewport.windowOf({ scale: 2, left: -100, top: 50 }, frame);
  assert.deepEqual(window, { x: 50, y: -25, width: 500, height: 300 });
});

test("only a picture that does not fit in the frame counts as zoomed", () => {
  assert.equal(viewport.isZoomed(fitted, picture, frame), false);
  assert.equal(viewport.isZoomed(viewport.zoomAt(fitted, 1.2, { x: 0, y: 0 }, picture, frame), picture, frame), true);
});
