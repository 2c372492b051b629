import type { Export, Progress } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { statusLine } from "../src/exports/statusLine.js";
import { applyProgress, markRunning, mergeExport } from "../src/live/mergeExport.js";

const progress = (bytes: number, more: Partial<Progress> = {}): Progress => ({
  rows: bytes / 10,
  rows_total: 1000,
  bytes,
  queue_position: null,
  eta_ms: null,
  ...more,
});
const item = (status: Export["status"]): Export => ({
  ...({} as Export),
  id: "x",
  status,
  progress: progress(0),
});

describe("export state from events", () => {
  it("a queued export becomes running with its first rows", () => {
    expect(applyProgress(item("queued"), progress(0, { queue_position: 2 }), 0).status).toBe("queued");
    expect(applyProgress(item("dispatched"), progress(10), 0).status).toBe("running");
  });

  it("a late event never reopens an export that has ended", () => {
    const canceled = item("canceled");
    expect(applyProgress(canceled, progress(500), 0)).toBe(canceled);
    expect(mergeExport(canceled, item("running"))).toBe(canceled);
    expect(mergeExport(item("completed"), item("expired")).status).toBe("expired");
  });

  it("an export whose bytes arrive is running", () => {
    const queued = { ...item("dispatched"), progress: progress(0, { queue_position: 0 }) };
    expect(markRunning(queued, 0)).toBe(queued);
    expect(markRunning(queued, 87)).toMatchObject({ status: "running", progress: { queue_position: null } });
    const canceled = item("canceled");
    expect(markRunning(canceled, 87)).toBe(canceled);
  });

  it("a REST answer keeps the measured rates", () => {
    let current = applyProgress(item("running"), progress(0), 0);
    current = applyProgress(current, progress(500), 500);
    expect(mergeExport(current, item("running")).throughput?.rates).toEqual([1000]);
  });

  it("the rate is measured over at least half a second, and starts over with a new attempt", () => {
    let current = applyProgress(item("running"), progress(0), 0);
    current = applyProgress(current, progress(500), 500);
    expect(current.throughput?.bytesPerSecond).toBe(1000);
    current = applyProgress(current, progress(600), 700);
    expect(current.throughput?.rates).toEqual([1000]);
    current = applyProgress(current, progress(3500), 2000);
    expect(current.throughput?.bytesPerSecond).toBe(2000);
    expect(current.throughput?.rates).toEqual([1000, 2000]);
    current = applyProgress(current, progress(100), 2500);
    expect(current.throughput?.bytesPerSecond).toBeNull();
  });
});

describe("the status line of an export", () => {
  const said = (status: Export["status"], more: Partial<Progress>) =>
    statusLine({ ...item(status), progress: progress(0, more) }).replaceAll(",", "");
  it.each<[Export["status"], Partial<Progress>, RegExp]>([
    ["queued", { queue_position: 3, eta_ms: 61_000 }, /^3 exports ahead in the queue · 61 sec.* left$/],
    ["dispatched", { queue_position: 0 }, /^Next in the queue$/],
    ["dispatched", {}, /^Starting$/],
    ["queued", { waiting_for: "operator" }, /^Paused by an operator$/],
    ["running", { rows: 5, bytes: 2_000_000, eta_ms: 1 }, /^5 of 1000 rows · 2 MB · 1 sec.* left$/],
    ["running", { rows: 1, rows_total: null }, /^1 row · 0 bytes?$/],
    ["running", { rows: 0, rows_total: 1, bytes: 2_000_000 }, /^0 of 1 row · 2 MB$/],
    ["running", { rows: 5, waiting_for: "storage" }, /^Waiting for storage · 5 of 1000 rows · 0 bytes?$/],
    ["canceled", {}, /credit was given back/],
  ])("%s with %j", (status, more, text) => {
    expect(said(status, more)).toMatch(text);
  });
});
