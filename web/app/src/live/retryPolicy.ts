import { type Slug, SluiceError } from "@sluice/client";

/** The server did not answer or was unavailable: an immediate retry may succeed. */
const TRANSIENT: readonly Slug[] = ["network", "unavailable", "timeout"];

/** Problems that may end at any time: the token is refreshed, the rate limit passes, or the server is repaired. */
const RECOVERABLE: readonly Slug[] = [...TRANSIENT, "unauthorized", "rate-limited", "internal"];

/** Returns whether an immediate retry may succeed. */
export function isTransient(error: Error): boolean {
  return TRANSIENT.includes(SluiceError.from(error).slug);
}

/**
 * Returns the delay until the next automatic retry: `ms` milliseconds, or the server's `Retry-After` if it is longer.
 * Returns `false` for a problem that no retry solves.
 */
export function retryInterval(error: Error | null, ms: number): number | false {
  const problem = error && SluiceError.from(error);
  return problem !== null && RECOVERABLE.includes(problem.slug) && Math.max(ms, problem.retryAfterMs ?? 0);
}
