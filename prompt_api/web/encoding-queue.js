/** Encodes a few pictures at a time. Each holds a connection to follow its progress, and a browser allows only six. */

const AT_ONCE = 2;

export class EncodingQueue {
  #encode;
  #waiting = [];
  #running = 0;

  /** @param {(entry: object) => Promise<void>} encode must not reject */
  constructor(encode) {
    this.#encode = encode;
  }

  add(entry) {
    this.#waiting.push(entry);
    this.#fill();
  }

  /** Starts a waiting picture at once, because a person is looking at it. */
  hurry(entry) {
    if (this.drop(entry)) this.#start(entry);
  }

  /** @returns {boolean} true if the picture was waiting */
  drop(entry) {
    const index = this.#waiting.indexOf(entry);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }

  /** Drops all that wait but these, because a person has gone elsewhere. @returns {object[]} the dropped ones */
  keepOnly(entries) {
    const dropped = this.#waiting.filter((entry) => !entries.includes(entry));
    for (const entry of dropped) this.drop(entry);
    return dropped;
  }

  #fill() {
    while (this.#running < AT_ONCE && this.#waiting.length > 0) this.#start(this.#waiting.shift());
  }

  async #start(entry) {
    this.#running++;
    try {
      await this.#encode(entry);
    } finally {
      this.#running--;
      this.#fill();
    }
  }
}
