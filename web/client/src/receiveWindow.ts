/** Bounds of a stream's receive window, in bytes. */
export interface WindowOptions {
  /** Initial window and lower bound. */
  min: number;
  /** Upper bound of the bytes in flight or waiting for the sink. */
  max: number;
}

/** Drain time of half a window below which the window limits the throughput, in milliseconds. */
const FAST_MS = 100;
/** Drain time of half a window above which the sink or the network limits the throughput, in milliseconds. */
const SLOW_MS = 1_000;

/**
 * Receive window of a stream (flow control). Bytes are granted again as the sink drains them, half a window at a time.
 * The window doubles for a fast sink, up to the upper bound, and halves for a slow one. A connection with a high
 * bandwidth-delay product stays full, and a slow disk never has more than the upper bound queued.
 */
export class ReceiveWindow {
  readonly #options: WindowOptions;
  #size: number;
  /** The server may send bytes before this offset. */
  #granted: number;
  #roundStartedAt: number;

  constructor(offset: number, options: WindowOptions, now: number) {
    this.#options = { min: options.min, max: Math.max(options.min, options.max) };
    this.#size = options.min;
    this.#granted = offset + options.min;
    this.#roundStartedAt = now;
  }

  /** Current size in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Returns whether the server was allowed to send bytes up to `end`. */
  allows(end: number): boolean {
    return end <= this.#granted;
  }

  /**
   * Records that the sink has drained everything before `position`. Returns the number of bytes to grant now, possibly
   * 0.
   */
  drained(position: number, now: number): number {
    if (this.#granted - position > this.#size / 2) {
      return 0;
    }
    const elapsed = now - this.#roundStartedAt;
    if (elapsed < FAST_MS) {
      this.#size = Math.min(this.#options.max, this.#size * 2);
    } else if (elapsed > SLOW_MS) {
      this.#size = Math.max(this.#options.min, Math.floor(this.#size / 2));
    }
    this.#roundStartedAt = now;
    const more = Math.max(0, position + this.#size - this.#granted);
    this.#granted += more;
    return more;
  }
}
