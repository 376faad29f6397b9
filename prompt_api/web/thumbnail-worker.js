/** The worker that makes small copies of pictures. */

import { lookAt } from "./thumbnails.js";
import { answerCalls } from "./worker-answers.js";

answerCalls({ lookAt }, "not-looked-at");
