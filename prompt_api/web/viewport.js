/**
 * The position of the picture in the frame that shows it, as immutable data and pure functions.
 *
 * Frame coordinates are CSS pixels from the frame's upper left corner; picture coordinates are pixels of the
 * upright original. frame = picture * scale + (left, top).
 *
 * @typedef {{width: number, height: number}} Size
 * @typedef {{scale: number, left: number, top: number, fitted: boolean}} View `fitted`: it shows the whole picture,
 *   also after the frame's size changes
 */

const LARGEST_SCALE = 16;
const MARGIN = 12;

/** The whole picture, centred, as large as the frame allows. */
export function fit(picture, frame) {
  return settle({ scale: fitScale(picture, frame), left: 0, top: 0, fitted: true }, picture, frame);
}

/** Zooms by `factor`. The place of the picture under (x, y) of the frame stays there. */
export function zoomAt(view, factor, { x, y }, picture, frame) {
  const scale = clamp(view.scale * factor, smallestScale(picture, frame), largestScale(picture, frame));
  const grown = scale / view.scale;
  const moved = { scale, left: x - (x - view.left) * grown, top: y - (y - view.top) * grown, fitted: false };
  return settle(moved, picture, frame);
}

/** One picture pixel per CSS pixel, around (x, y) of the frame. */
export function actualSize(view, at, picture, frame) {
  return zoomAt(view, 1 / view.scale, at, picture, frame);
}

export function panBy(view, dx, dy, picture, frame) {
  return settle({ ...view, left: view.left + dx, top: view.top + dy, fitted: false }, picture, frame);
}

/** The same view in a frame of another size. */
export function reframe(view, picture, frame) {
  return view.fitted ? fit(picture, frame) : settle(view, picture, frame);
}

/** Moves the view as little as possible, until (x, y) of the picture lies at least `room` inside the frame. */
export function reveal(view, { x, y }, picture, frame, room = 40) {
  const shift = (at, length) => {
    const least = Math.min(room, length / 2);
    return clamp(at, least, length - least) - at;
  };
  const dx = shift(x * view.scale + view.left, frame.width);
  const dy = shift(y * view.scale + view.top, frame.height);
  return dx === 0 && dy === 0 ? view : settle({ ...view, left: view.left + dx, top: view.top + dy }, picture, frame);
}

/** A place of the frame in pixels of the picture; it may lie outside the picture. */
export function toPicture(view, { x, y }) {
  return { x: (x - view.left) / view.scale, y: (y - view.top) / view.scale };
}

/** The part of the picture's plane that fills the frame, in pixels of the picture; it may extend beyond the picture. */
export function windowOf(view, frame) {
  return { ...toPicture(view, { x: 0, y: 0 }), width: frame.width / view.scale, height: frame.height / view.scale };
}

/** True if part of the picture lies outside the frame. */
export function isZoomed(view, picture, frame) {
  const slack = 0.5;
  return picture.width * view.scale > frame.width + slack || picture.height * view.scale > frame.height + slack;
}

/** Centres the picture where it is smaller than the frame. Leaves no gap where it is larger. */
function settle(view, picture, frame) {
  const place = (start, length, room) => (length <= room ? (room - length) / 2 : clamp(start, room - length, 0));
  return {
    ...view,
    left: place(view.left, picture.width * view.scale, frame.width),
    top: place(view.top, picture.height * view.scale, frame.height),
  };
}

function fitScale(picture, frame) {
  const room = (length) => Math.max(1, length - 2 * MARGIN);
  return Math.min(room(frame.width) / picture.width, room(frame.height) / picture.height);
}

function smallestScale(picture, frame) {
  return Math.min(fitScale(picture, frame), 1);
}

function largestScale(picture, frame) {
  return Math.max(fitScale(picture, frame) * 2, LARGEST_SCALE);
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
