import type { Export, ExportFile, SluiceError } from "@sluice/client";
import { isBusy, type RunPhase, type RunState } from "@sluice/client/browser";

/** The details of the element's events, by the name of the event. All events bubble and leave shadow trees. */
export interface EventMap {
  /** The server has accepted the export. */
  "sluice-started": { export: Export };
  /** A number or the phase of the running export has changed. */
  "sluice-progress": { export: Export; phase: RunPhase; received: number; interrupted: boolean };
  /** The verified file is saved. */
  "sluice-completed": { export: Export; file: ExportFile };
  /** The export or the download has failed, or was canceled (slug `canceled`). */
  "sluice-failed": { error: SluiceError; export: Export | undefined };
}

/** One event to dispatch. */
export type EventOf<K extends keyof EventMap = keyof EventMap> = {
  [N in K]: { name: N; detail: EventMap[N] };
}[K];

/** Returns the events that the change from one state to the next causes. */
export function eventsOf(before: RunState, state: RunState): EventOf[] {
  const { phase, export: item, received, interrupted, file, error } = state;
  const events: EventOf[] = [];
  if (item && isBusy(state)) {
    if (before.export?.id !== item.id || !isBusy(before)) {
      events.push({ name: "sluice-started", detail: { export: item } });
    }
    events.push({ name: "sluice-progress", detail: { export: item, phase, received, interrupted } });
  }
  if (phase === "saved" && before.phase !== "saved" && item && file) {
    events.push({ name: "sluice-completed", detail: { export: item, file } });
  }
  if (phase === "failed" && before.phase !== "failed" && error) {
    events.push({ name: "sluice-failed", detail: { error, export: item } });
  }
  return events;
}
