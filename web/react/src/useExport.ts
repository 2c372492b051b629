import type { ExportRequest, TokenProvider } from "@sluice/client";
import { ExportRun, isBusy, type RunState } from "@sluice/client/browser";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

/** Settings of {@link useExport}. */
export interface UseExportOptions {
  /** Address of the gateway, such as `https://exports.example.com`. */
  baseUrl: string;
  /** Returns the token of the current user, or a newer one when a refresh is asked for. */
  tokenProvider: TokenProvider;
  /** Receives the complete and verified file. Default: saves it to the browser's downloads. */
  save?: (file: File) => void;
}

/** What {@link useExport} returns: the state, and what the user can do. */
export interface ExportControls extends RunState {
  /** Whether an export runs or its file is being saved. */
  busy: boolean;
  /** Starts an export and saves its file. Resolves with the last state, also of a failure. */
  start(request: ExportRequest): Promise<RunState>;
  /** Repeats what failed; a file that exists is fetched again, free of charge. */
  retry(): Promise<RunState>;
  /** Cancels the running export. */
  cancel(): void;
  /** Returns to `idle` after an end. */
  reset(): void;
}

/**
 * One export from the click to the saved file, for a button of your own. The export continues when the component leaves
 * the page; call `cancel` to end it.
 */
export function useExport(options: UseExportOptions): ExportControls {
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const [run] = useState(
    () =>
      new ExportRun({
        // getters, so that each start uses the options of the last rendering
        get baseUrl() {
          return latest.current.baseUrl;
        },
        get save() {
          return latest.current.save;
        },
        getToken: (request) => latest.current.tokenProvider(request),
      }),
  );
  const [controls] = useState(() => ({
    start: (request: ExportRequest) => run.start(request),
    retry: () => run.retry(),
    cancel: () => run.cancel(),
    reset: () => run.reset(),
  }));
  const state = useSyncExternalStore(
    run.subscribe,
    () => run.state,
    () => run.state,
  );
  return { ...state, busy: isBusy(state), ...controls };
}
