import type { SluiceError } from "../errors.js";
import { type Export, type ExportFile, hasEnded, type Progress } from "../protocol.js";

/**
 * Phase of one export from the click to the saved file: `idle → starting → queued → running → saving → saved`. From each
 * phase but `idle` and `saved` it can become `failed`, and `canceling` until the server has confirmed a cancellation,
 * which then is `failed` too.
 */
export type RunPhase =
  | "idle"
  | "starting"
  | "queued"
  | "running"
  | "saving"
  | "saved"
  | "canceling"
  | "failed";

/** State of an {@link ExportRun}. */
export interface RunState {
  phase: RunPhase;
  /** The export in its last known state, once the server has accepted it. */
  export?: Export | undefined;
  /** Bytes of the file that this page has received. */
  received: number;
  /** Whether the connection is lost; the download continues from the same byte by itself. */
  interrupted: boolean;
  /** The saved file, in phase `saved`. */
  file?: ExportFile | undefined;
  /** The reason of phase `failed`; its slug is `canceled` for a canceled export. */
  error?: SluiceError | undefined;
}

/** The state before the first start. */
export const IDLE: RunState = { phase: "idle", received: 0, interrupted: false };

/** Returns whether an export runs, its file is being saved, or it is being canceled. */
export function isBusy({ phase }: RunState): boolean {
  return phase !== "idle" && phase !== "saved" && phase !== "failed";
}

/** Returns how much is done, from 0 to 1; `undefined` while that is unknown. */
export function fractionOf({ phase, export: item, received }: RunState): number | undefined {
  if (phase === "running" && item?.progress.rows_total) {
    return Math.min(1, item.progress.rows / item.progress.rows_total);
  }
  if (phase === "saving" && item?.file) {
    return item.file.size === 0 ? 1 : Math.min(1, received / item.file.size);
  }
  return phase === "saved" ? 1 : undefined;
}

/** Applies a newer version of the export. An ended export never becomes unfinished again. */
export function withExport(state: RunState, given: Export): RunState {
  const current = state.export;
  const item = current && hasEnded(current.status) && !hasEnded(given.status) ? current : given;
  return withPhase({ ...state, export: item });
}

/** Applies a progress event of the export. */
export function withProgress(state: RunState, progress: Progress): RunState {
  const item = state.export;
  if (!item || hasEnded(item.status)) {
    return state;
  }
  const started = progress.queue_position == null && (progress.rows > 0 || progress.bytes > 0);
  return withPhase({ ...state, export: { ...item, progress, status: started ? "running" : item.status } });
}

/** Applies the position of the download. */
export function withReceived(state: RunState, received: number): RunState {
  return withPhase({ ...state, received });
}

function withPhase(state: RunState): RunState {
  const { export: item, received } = state;
  if (!isBusy(state) || !item) {
    return state;
  }
  if (item.status === "completed") {
    return { ...state, phase: "saving" };
  }
  // bytes may arrive before the event that reports the start
  return { ...state, phase: item.status === "running" || received > 0 ? "running" : "queued" };
}
