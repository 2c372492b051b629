/** Minimum interval between two reports, in milliseconds. */
const REPORT_INTERVAL_MS = 100;

/** Reports the position of a download at most every {@link REPORT_INTERVAL_MS}, and always reports the last one. */
export class ProgressThrottle {
  readonly #onReport: (received: number) => void;
  #last = 0;
  #lastReported: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onReport: (received: number) => void) {
    this.#onReport = onReport;
  }

  update(received: number): void {
    this.#last = received;
    if (this.#timer === undefined) {
      this.#report();
    }
  }

  /** Cancels the pending report, at the end of the download. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #report(): void {
    this.#timer = undefined;
    if (this.#last !== this.#lastReported) {
      this.#lastReported = this.#last;
      this.#onReport(this.#last);
      this.#timer = setTimeout(() => this.#report(), REPORT_INTERVAL_MS);
    }
  }
}
