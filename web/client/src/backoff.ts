/** A connection must stay up this long before the delays start over, in milliseconds. */
export const HEALTHY_MS = 10_000;

/** Options of the reconnect delay. */
export interface BackoffOptions {
  /** Upper bound of the first delay, in milliseconds. Default 500. */
  baseMs?: number;
  /** Upper bound of every later delay, in milliseconds. Default 30 000. */
  capMs?: number;
  /** Random source, uniform in [0, 1). Default `Math.random`. */
  random?: () => number;
}

/**
 * Exponential backoff with full jitter: each delay is uniform between 0 and an upper bound that doubles from 0.5 s to
 * 30 s, so that clients of a failed server do not all reconnect at the same time.
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(options: BackoffOptions = {}) {
    this.#baseMs = options.baseMs ?? 500;
    this.#capMs = options.capMs ?? 30_000;
    this.#random = options.random ?? Math.random;
  }

  /** Number of delays since the last {@link reset}. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Returns the next delay in milliseconds, never below `minDelayMs` (the server's `Retry-After`). */
  next(minDelayMs = 0): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.max(minDelayMs, Math.floor(this.#random() * ceiling));
  }

  /** Starts over with the first delay. Call it after {@link HEALTHY_MS}, not on the first successful connection. */
  reset(): void {
    this.#attempt = 0;
  }
}

/** Resolves after `ms` milliseconds, or rejects with the signal's reason when the signal is aborted first. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
