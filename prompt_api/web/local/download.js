/** Reads bodies of answers and counts their bytes as they arrive. */

/**
 * @param {Response} response
 * @param {(bytes: number) => void} count called with the length of each piece
 * @returns {Promise<ArrayBuffer>}
 */
export async function bodyOf(response, count) {
  const pieces = [];
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    count(value.length);
  }
  return new Blob(pieces).arrayBuffer();
}

/** Adds up the bytes of several downloads and reports them as a share of all bytes expected. */
export class Progress {
  #expected = 0;
  #arrived = 0;
  #listeners = new Set();

  /** Adds bytes that will arrive. Starts a new count if all earlier ones have arrived. */
  expect(bytes) {
    if (this.#arrived >= this.#expected) this.#arrived = this.#expected = 0;
    this.#expected += bytes;
  }

  count = (bytes) => {
    this.#arrived += bytes;
    const share = Math.min(1, this.#arrived / this.#expected);
    for (const report of this.#listeners) report(share);
  };

  /** Calls `report` for every piece until `promise` settles. */
  async during(promise, report) {
    this.#listeners.add(report);
    try {
      return await promise;
    } finally {
      this.#listeners.delete(report);
    }
  }
}
