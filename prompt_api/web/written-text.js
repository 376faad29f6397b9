/** Text that grows piece by piece. What is complete is handed to the browser, which may keep it outside of memory. */

const PIECE_CHARACTERS = 1 << 20;

export class Text {
  #done = [];
  #open = [];
  #openLength = 0;

  add(text) {
    this.#open.push(text);
    this.#openLength += text.length;
    if (this.#openLength >= PIECE_CHARACTERS) this.#close();
  }

  get blob() {
    this.#close();
    return new Blob(this.#done);
  }

  #close() {
    if (this.#open.length > 0) this.#done.push(new Blob([this.#open.join("")]));
    this.#open = [];
    this.#openLength = 0;
  }
}

/** A JSON array, entry by entry. */
export class JsonList {
  #text = new Text();
  length = 0;

  add(entry) {
    this.#text.add(`${this.length > 0 ? "," : ""}${JSON.stringify(entry)}`);
    this.length++;
  }

  get blob() {
    return new Blob(["[", this.#text.blob, "]"]);
  }
}
