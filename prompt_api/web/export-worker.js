/** The worker that writes files to save. */

import { exported } from "./export-formats.js";
import { answerCalls } from "./worker-answers.js";

answerCalls({ exported }, "not-exported");
