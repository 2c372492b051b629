import { type Export, hasEnded, type Progress } from "@sluice/client";

/** An export whose progress was seen at several moments, so that its rate is known. */
export interface MeasuredExport extends Export {
  throughput?: {
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
export function applyProgress(current: MeasuredExport, progress: Progress, now: number): MeasuredExport {
  if (hasEnded(current.status)) {
    return current;
  }
  const waiting = (progress.queue_position ?? null) !== null;
  const started = !waiting && (progress.rows > 0 || progress.bytes > 0);
  return {
    ...current,
    status: started ? "running" : current.status,
    progress,
    throughput: measureThroughput(current, progress, now),
  };
}

/** Bytes have come here, so it runs, though the word of it is still on its way. */
export function markRunning(item: MeasuredExport, received: number): MeasuredExport {
  const waits = item.status === "queued" || item.status === "dispatched";
  if (!waits || received === 0) {
    return item;
  }
  return { ...item, status: "running", progress: { ...item.progress, queue_position: null } };
}

function measureThroughput(
  current: MeasuredExport,
  progress: Progress,
  now: number,
): NonNullable<MeasuredExport["throughput"]> {
  const throughput = current.throughput;
  if (!throughput || progress.bytes < throughput.sinceBytes) {
    return { sinceMs: now, sinceBytes: progress.bytes, bytesPerSecond: null, rates: [] };
  }
  const passed = now - throughput.sinceMs;
  if (passed < WINDOW_MS) {
    return throughput;
  }
  const bytesPerSecond = ((progress.bytes - throughput.sinceBytes) * 1000) / passed;
  const rates = [...throughput.rates, bytesPerSecond].slice(-MOST_RATES);
  return { sinceMs: now, sinceBytes: progress.bytes, bytesPerSecond, rates };
}

/** Events come at least once and may be older than what REST said: an ended export only changes to another end. */
export function mergeExport(current: MeasuredExport, given: Export): MeasuredExport {
  if (hasEnded(current.status) && !hasEnded(given.status)) {
    return current;
  }
  return current.throughput && !hasEnded(given.status) ? { ...given, throughput: current.throughput } : given;
}
