"""Writes a large session into the browser, as the page would have kept it. Making it by hand would take hours."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser.page import Page

_WRITE = """
const [count, data, size, answers, each, done] = arguments;
const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
const colours = ["#ff8c1a", "#00b3a4", "#e0359a", "#8fd14f"];
const blank = {id: 0, points: [], box: null, base: null, masks: null, chosen: 0};
const step = (id, {point: [x, y], masks}) =>
  ({id, points: [{x, y, label: 1}], box: null, base: null, masks, chosen: 0});
const objectsOf = (picture) => Array.from({length: answers.length ? each : 0}, (_, place) => {
  const answer = structuredClone(answers[(picture * each + place) % answers.length]);
  const named = {id: 2 * place + 2, label: `class ${place + 1}`, colour: colours[place % 4]};
  return {...named, step: step(2 * place + 1, answer)};
});
const state = (objects, present = blank) => ({step: present, objects, editing: null});
const write = async () => {
  const bitmap = await createImageBitmap(new Blob([bytes]), {resizeWidth: 192});
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const thumbnail = await canvas.convertToBlob({type: "image/jpeg", quality: 0.75});
  const database = await new Promise((resolve) => {
    indexedDB.open("annotation-session /").onsuccess = ({target}) => resolve(target.result);
  });
  let transaction = null;
  for (let id = 1; id <= count; id++) {
    transaction ??= database.transaction(["pictures", "work", "files"], "readwrite");
    const file = new File([bytes], `${id}.jpg`, {type: "image/jpeg", lastModified: id});
    const {name, lastModified} = file;
    const record = {id, name, folder: "", bytes: file.size, lastModified, size, thumbnail, hash: null};
    transaction.objectStore("pictures").put(record, id);
    transaction.objectStore("files").put(file, id);
    const objects = objectsOf(id);
    // What keeping one object after the other leaves behind: two states of undo for each.
    const past = objects.flatMap((object, place) =>
      [state(objects.slice(0, place)), state(objects.slice(0, place), object.step)]);
    const timeline = {past, now: state(objects), future: [], nextId: 2 * each + 3};
    transaction.objectStore("work").put({timeline, hidden: [], view: null, done: false, isSaved: false}, id);
    if (id % 50 && id < count) continue;
    await new Promise((resolve) => { transaction.oncomplete = resolve; });
    transaction = null;
  }
  database.close();
};
write().then(() => done(null), (error) => done(String(error)));
"""


def store_session(
    page: Page,
    count: int,
    photo: Path,
    answers: list[dict[str, Any]] | None = None,
    each: int = 4,
) -> None:
    """Write `count` pictures "1.jpg", "2.jpg", …, all of one photo. The page must be open; the next one finds them.

    Args:
        answers: what `each` objects of a picture are made of: {point: [x, y], masks: as the service answers}. They are
            taken in turn, and each object has a copy of its own. None: the pictures have no objects.
    """
    data = base64.b64encode(photo.read_bytes()).decode()
    with Image.open(photo) as image:
        width, height = image.size
    problem = page.script_until_done(_WRITE, count, data, {"width": width, "height": height}, answers or [], each)
    if problem is not None:
        raise RuntimeError(problem)
