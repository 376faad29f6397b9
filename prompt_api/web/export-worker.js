/** The worker that writes files to save, and reads files with annotations. */

import { Export } from "./export-formats.js";
import { readAnnotations } from "./import-formats.js";
import { answerCalls } from "./worker-answers.js";

/** The files that are being written, by number. */
const open = new Map();
let begun = 0;

answerCalls(
  {
    begin: (...given) => {
      open.set(++begun, new Export(...given));
      return begun;
    },
    add: (number, picture) => open.get(number).add(picture),
    finish: (number) => {
      const file = open.get(number);
      open.delete(number);
      return file.finish();
    },
    forget: (number) => void open.delete(number),
    readAnnotations,
  },
  "not-exported",
);
