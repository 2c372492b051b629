import { type Export, hasEnded, type Progress } from "@sluice/client";

/** An export with its measured throughput. */
export interface MeasuredExport extends Export {
  throughput?: {
    sinceMs: number;
    sinceBytes: number;
    bytesPerSecond: number | null;
    /** Bytes per second, oldest first, for the chart. */
    rates: readonly number[];
  };
}

/** Maximum number of rates for the chart. */
const MAX_RATES = 120;

/** Minimum time over which a rate is measured, in milliseconds. */
const MIN_INTERVAL_MS = 500;

/** Applies a progress event. A late event never reopens an export that has ended. */
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

/** Marks an export as running when bytes of its file have arrived before the event. */
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
  const elapsed = now - throughput.sinceMs;
  if (elapsed < MIN_INTERVAL_MS) {
    return throughput;
  }
  const bytesPerSecond = ((progress.bytes - throughput.sinceBytes) * 1000) / elapsed;
  const rates = [...throughput.rates, bytesPerSecond].slice(-MAX_RATES);
  return { sinceMs: now, sinceBytes: progress.bytes, bytesPerSecond, rates };
}

/**
 * Merges two versions of an export. Events may repeat and may be older than a REST answer: an ended export changes only
 * to another final status.
 */
export function mergeExport(current: MeasuredExport, given: Export): MeasuredExport {
  if (hasEnded(current.status) && !hasEnded(given.status)) {
    return current;
  }
  return current.throughput && !hasEnded(given.status) ? { ...given, throughput: current.throughput } : given;
}
