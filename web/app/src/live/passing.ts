import { type Slug, SluiceError } from "@sluice/client";

/** Nobody answered, or said that it can't now: the same question may be answered at the next try. */
const BUSY: readonly Slug[] = ["network", "unavailable", "timeout"];

/** A token may be renewed, a limit pass and a fault be mended at any time. */
const PASSING: readonly Slug[] = [...BUSY, "unauthorized", "rate-limited", "internal"];

/** Whether it is worth asking again at once. */
export function isBusy(error: Error): boolean {
  return BUSY.includes(SluiceError.from(error).slug);
}

/** Whether the same question may be answered some time later, without anything that the person has to do. */
export function mayPass(error: Error | null): boolean {
  return error !== null && PASSING.includes(SluiceError.from(error).slug);
}
