import { type Export, hasEnded, type Progress } from "@sluice/client";

/** An export whose progress was seen at several moments, so that its rate is known. */
export interface Paced extends Export {
  pace?: {
    sinceMs: number;
    sinceBytes: number;
    bytesPerSecond: number | null;
    /** The rates so far, oldest first, for a chart. */
    rates: readonly number[];
  };
}

/** Rates that are kept for the chart. */
const MOST_RATES = 120;

/** Least time over which a rate is measured, in milliseconds. */
const WINDOW_MS = 500;

/** Progress may come late: it never revives an export that has ended, nor runs backwards within an attempt. */
export function applyProgress(current: Paced, progress: Progress, now: number): Paced {
  if (hasEnded(current.status)) {
    return current;
  }
  const waiting = (progress.queue_position ?? null) !== null;
  const started = !waiting && (progress.rows > 0 || progress.bytes > 0);
  return {
    ...current,
    status: started ? "running" : current.status,
    progress,
    pace: paceOf(current, progress, now),
  };
}

/** Bytes have come here, so it runs, though the word of it is still on its way. */
export function underWay(item: Paced, received: number): Paced {
  const waits = item.status === "queued" || item.status === "dispatched";
  if (!waits || received === 0) {
    return item;
  }
  return { ...item, status: "running", progress: { ...item.progress, queue_position: null } };
}

function paceOf(current: Paced, progress: Progress, now: number): NonNullable<Paced["pace"]> {
  const pace = current.pace;
  if (!pace || progress.bytes < pace.sinceBytes) {
    return { sinceMs: now, sinceBytes: progress.bytes, bytesPerSecond: null, rates: [] };
  }
  const passed = now - pace.sinceMs;
  if (passed < WINDOW_MS) {
    return pace;
  }
  const bytesPerSecond = ((progress.bytes - pace.sinceBytes) * 1000) / passed;
  const rates = [...pace.rates, bytesPerSecond].slice(-MOST_RATES);
  return { sinceMs: now, sinceBytes: progress.bytes, bytesPerSecond, rates };
}

/** Events come at least once and may be older than what REST said: an ended export only changes to another end. */
export function newer(current: Paced, given: Export): Paced {
  if (hasEnded(current.status) && !hasEnded(given.status)) {
    return current;
  }
  return current.pace && !hasEnded(given.status) ? { ...given, pace: current.pace } : given;
}
