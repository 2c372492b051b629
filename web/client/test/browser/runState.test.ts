import { expect, it } from "vitest";
import {
  fractionOf,
  IDLE,
  isBusy,
  type RunState,
  withExport,
  withProgress,
  withReceived,
} from "../../src/browser/runState.js";
import type { Export } from "../../src/protocol.js";
import { completedExport } from "../testServer.js";

const done = completedExport("e", new Uint8Array(200));
const progress = { rows: 0, rows_total: null, bytes: 0, queue_position: 3, eta_ms: null };
const queued: Export = { ...done, status: "queued", file: null, progress };
const starting: RunState = { ...IDLE, phase: "starting" };

it("an export goes from the queue over its rows to its file", () => {
  let state = withExport(starting, queued);
  expect(state.phase).toBe("queued");
  expect(fractionOf(state)).toBeUndefined();
  state = withProgress(state, { ...progress, queue_position: null, rows: 25, rows_total: 100 });
  expect(state.phase).toBe("running");
  expect(fractionOf(state)).toBe(0.25);
  state = withReceived(withExport(state, done), 50);
  expect(state.phase).toBe("saving");
  expect(fractionOf(state)).toBe(0.25);
  expect(isBusy(state)).toBe(true);
});

it("bytes that arrive before the event show that the export runs", () => {
  expect(withReceived(withExport(starting, queued), 10).phase).toBe("running");
});

it("an older version never reopens an ended export", () => {
  const ended = withExport(starting, done);
  expect(withExport(ended, queued).export?.status).toBe("completed");
  expect(withProgress(ended, progress)).toBe(ended);
});

it("events after the end change no phase", () => {
  const failed: RunState = { ...withExport(starting, queued), phase: "failed" };
  expect(withExport(failed, done).phase).toBe("failed");
  expect(isBusy(failed)).toBe(false);
});
