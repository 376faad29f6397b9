/** Calls the service again, after a pause, while it is busy or away. */

import { LONGEST_PAUSE } from "./api.js";
import { Problem } from "./problems.js";

/** Requests in a row that may fail before the page gives up. */
const MOST_LOST = 4;

/**
 * @template Answer
 * @param {() => Promise<Answer>} call
 * @param {{pause: (seconds: number, signal: AbortSignal) => Promise<void>, signal: AbortSignal}} options
 * @returns {Promise<Answer>}
 * @throws {Problem} that of the last call
 */
export async function patiently(call, { pause, signal }) {
  for (let lost = 1; ; lost++) {
    try {
      return await call();
    } catch (error) {
      const canWait = error instanceof Problem && (error.code === "offline" || error.code === "rate-limited" || error.status === 503);
      if (!canWait || lost === MOST_LOST) throw error;
      await pause(Math.min(error.retryAfter ?? 2, LONGEST_PAUSE), signal);
    }
  }
}
