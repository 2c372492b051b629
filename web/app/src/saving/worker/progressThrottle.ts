/** Least time between two told positions of one download, in milliseconds. */
const TELL_MS = 100;

/** Tells positions, no more often than every {@link TELL_MS}, and also the last before a line falls silent. */
export class ProgressThrottle {
  readonly #tellNow: (received: number) => void;
  #last = 0;
  #told: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tellNow: (received: number) => void) {
    this.#tellNow = tellNow;
  }

  position(received: number): void {
    this.#last = received;
    if (this.#timer === undefined) {
      this.#post();
    }
  }

  /** Nothing is told any more. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #post(): void {
    this.#timer = undefined;
    if (this.#last !== this.#told) {
      this.#told = this.#last;
      this.#tellNow(this.#last);
      this.#timer = setTimeout(() => this.#post(), TELL_MS);
    }
  }
}
