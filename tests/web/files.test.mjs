import assert from "node:assert/strict";
import { test } from "node:test";

import { folderOf, inOrder } from "../../prompt_api/web/files.js";
import { Problem, canHelpAgain, wantsToken } from "../../prompt_api/web/problems.js";

const fileAt = (path) => ({ name: path.split("/").at(-1), webkitRelativePath: path });

test("the files of a folder come in the order in which a person counts them", () => {
  const paths = ["trip/10.jpg", "trip/9.jpg", "trip/b/1.jpg", "trip/a/2.jpg"];
  const sorted = inOrder(paths.map(fileAt)).map(({ webkitRelativePath }) => webkitRelativePath);
  assert.deepEqual(sorted, ["trip/9.jpg", "trip/10.jpg", "trip/a/2.jpg", "trip/b/1.jpg"]);
});

test("a file knows the folder with which it was opened", () => {
  assert.equal(folderOf(fileAt("trip/day 1/a.jpg")), "trip/day 1");
  assert.equal(folderOf({ name: "a.jpg", webkitRelativePath: "" }), "");
});

test("trying again is offered only where it can help", () => {
  for (const code of ["image-too-large", "forbidden", "unsupported-image", "unreadable"]) {
    assert.equal(canHelpAgain(new Problem(code)), false, code);
  }
  for (const error of [new Problem("offline"), new Problem("overloaded"), new Problem("encode-failed"), new TypeError()]) {
    assert.equal(canHelpAgain(error), true);
  }
  assert.deepEqual(["forbidden", "unauthorized", "offline"].map((code) => wantsToken(new Problem(code))), [true, true, false]);
});
