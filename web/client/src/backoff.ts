/** What was reached must have held this long before the delays start over, in milliseconds. */
export const HEALTHY_MS = 10_000;

/** Bounds of the reconnect delay, in milliseconds. */
export interface BackoffOptions {
  /** Ceiling of the first delay. Default 500. */
  baseMs?: number;
  /** Ceiling of every later delay. Default 30 000. */
  capMs?: number;
  /** Uniform in [0, 1). Default `Math.random`. */
  random?: () => number;
}

/**
 * Exponential backoff with full jitter: each delay is uniform between 0 and a ceiling that doubles from
 * 0.5 s to 30 s, so that clients which lost the same server do not come back at the same moment.
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

  /** How many delays were taken since the last {@link reset}. */
  get attempt(): number {
    return this.#attempt;
  }

  /** The next delay in milliseconds, never below `minDelayMs` (what a server asked for). */
  next(minDelayMs = 0): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.max(minDelayMs, Math.floor(this.#random() * ceiling));
  }

  /** Starts over. Call it after a healthy spell, not at the first sign of life. */
  reset(): void {
    this.#attempt = 0;
  }
}

/** Resolves after `ms`, or rejects with the signal's reason when it is aborted first. */
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
