/** Runs at most one job at a time, and keeps only the newest job that waits. */

export class LatestOnly {
  #run;
  #running = false;
  #waiting = null;

  /** @param {(job: any) => Promise<void>} run must not reject */
  constructor(run) {
    this.#run = run;
  }

  /** True while a newer job waits. The running job need not try again then. */
  get superseded() {
    return this.#waiting !== null;
  }

  /** Runs `job` now, or after the running job unless a newer job replaces it first. */
  submit(job) {
    this.#waiting = job;
    if (!this.#running) this.#drain();
  }

  /** Forgets the waiting job. The running job ends by itself. */
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
