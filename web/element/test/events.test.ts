import type { Export } from "@sluice/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EventLimit, type EventOf } from "../src/events.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const item = { id: "e" } as Export;
const progress = (received: number): EventOf => ({
  name: "sluice-progress",
  detail: { export: item, phase: "saving", received, interrupted: false },
});

it("progress is reported four times each second at most, always with the newest numbers", () => {
  const seen: EventOf[] = [];
  const limit = new EventLimit((event) => seen.push(event));
  for (let received = 0; received < 100; received += 1) {
    limit.push(progress(received));
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(1_000);
  expect(seen).toHaveLength(5);
  expect(seen.map(({ detail }) => "received" in detail && detail.received)).toEqual([0, 24, 49, 74, 99]);
});

it("nothing reports progress after the end", () => {
  const seen: string[] = [];
  const limit = new EventLimit(({ name }) => seen.push(name));
  limit.push({ name: "sluice-started", detail: { export: item } });
  limit.push(progress(1));
  limit.push(progress(2));
  limit.push({ name: "sluice-completed", detail: { export: item, file: item.file ?? ({} as never) } });
  vi.advanceTimersByTime(1_000);
  expect(seen).toEqual(["sluice-started", "sluice-progress", "sluice-completed"]);
});
