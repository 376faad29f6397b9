/** At most one job at a time, and only the newest of those that wait. */

export class LatestOnly {
  #run;
  #running = false;
  #waiting = null;

  /** @param {(job: any) => Promise<void>} run must not reject */
  constructor(run) {
    this.#run = run;
  }

  /** True while a newer job waits for the running one: the running one need not try again. */
  get superseded() {
    return this.#waiting !== null;
  }

  /** Runs `job` now, or when the running one ends unless a newer one came in between. */
  submit(job) {
    this.#waiting = job;
    if (!this.#running) this.#drain();
  }

  /** Forgets the waiting job. The running one ends by itself. */
  forget() {
    this.#waiting = null;
  }

  async #drain() {
    this.#running = true;
    try {
      while (this.#waiting !== null) {
        const job = this.#waiting;
        this.#waiting = null;
        await this.#run(job);
      }
    } finally {
      this.#running = false;
    }
  }
}
