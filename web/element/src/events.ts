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

/** Minimum time between two `sluice-progress`, in milliseconds. */
const PROGRESS_MS = 250;

/** Passes events on, but `sluice-progress` four times each second at most: then with the newest numbers. */
export class EventLimit {
  readonly #dispatch: (event: EventOf) => void;
  #last = Number.NEGATIVE_INFINITY;
  #pending: EventOf | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(dispatch: (event: EventOf) => void) {
    this.#dispatch = dispatch;
  }

  push(event: EventOf): void {
    if (event.name !== "sluice-progress") {
      // nothing reports progress after the end
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#pending = undefined;
      this.#dispatch(event);
      return;
    }
    this.#pending = event;
    const wait = this.#last + PROGRESS_MS - performance.now();
    if (wait <= 0) {
      this.#flush();
    } else {
      this.#timer ??= setTimeout(() => this.#flush(), wait);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const event = this.#pending;
    if (event) {
      this.#pending = undefined;
      this.#last = performance.now();
      this.#dispatch(event);
    }
  }
}
