/** Bounds of a stream's window, in bytes. */
export interface WindowOptions {
  /** What is granted at the start, and never less later. */
  min: number;
  /** The most that may be under way or waiting for the sink. */
  max: number;
}

/** A round that took less than this says that the window is what slows the stream down, in milliseconds. */
const FAST_MS = 100;
/** A round that took more than this says that the sink or the network does, in milliseconds. */
const SLOW_MS = 1_000;

/**
 * How much a stream may send ahead. Bytes are granted again as the sink drains them, half a window at a time; a sink
 * that drains quickly gets a wider window, up to a bound, and one that dawdles a narrower one. So a long line is kept
 * full, and a slow disk never has more than the bound before it.
 */
export class ReceiveWindow {
  readonly #options: WindowOptions;
  #size: number;
  /** Up to this position the server may send. */
  #granted: number;
  #roundStartedAt: number;

  constructor(offset: number, options: WindowOptions, now: number) {
    this.#options = { min: options.min, max: Math.max(options.min, options.max) };
    this.#size = options.min;
    this.#granted = offset + options.min;
    this.#roundStartedAt = now;
  }

  /** How wide it is now. */
  get size(): number {
    return this.#size;
  }

  /** Whether the server may have sent bytes up to this position. */
  allows(end: number): boolean {
    return end <= this.#granted;
  }

  /** Everything before `position` went through the sink. Gives how many bytes to grant now, which may be 0. */
  drained(position: number, now: number): number {
    if (this.#granted - position > this.#size / 2) {
      return 0;
    }
    const took = now - this.#roundStartedAt;
    if (took < FAST_MS) {
      this.#size = Math.min(this.#options.max, this.#size * 2);
    } else if (took > SLOW_MS) {
      this.#size = Math.max(this.#options.min, Math.floor(this.#size / 2));
    }
    this.#roundStartedAt = now;
    const more = Math.max(0, position + this.#size - this.#granted);
    this.#granted += more;
    return more;
  }
}
