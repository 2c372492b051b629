import { type Slug, SluiceError } from "@sluice/client";

/** Nobody answered, or said that it can't now: the same question may be answered at the next try. */
const BUSY: readonly Slug[] = ["network", "unavailable", "timeout"];

/** A token may be renewed, a limit pass and a fault be mended at any time. */
const PASSING: readonly Slug[] = [...BUSY, "unauthorized", "rate-limited", "internal"];

/** Whether it is worth asking again at once. */
export function isTransient(error: Error): boolean {
  return BUSY.includes(SluiceError.from(error).slug);
}

/**
 * When the same question may be answered without anything that the person has to do: after so many milliseconds, or when
 * the server has said; `false` for never.
 */
export function retryInterval(error: Error | null, ms: number): number | false {
  const problem = error && SluiceError.from(error);
  return problem !== null && PASSING.includes(problem.slug) && Math.max(ms, problem.retryAfterMs ?? 0);
}
