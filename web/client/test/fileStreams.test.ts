import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FileStreamTable } from "../src/fileStreams.js";
import type { ClientMessage } from "../src/index.js";

const opened = (stream: number, id: string) =>
  ({ type: "file.opened", stream, export_id: id, offset: 0 }) as const;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("an unclaimed stream is closed after a timeout, a claimed one is not", async () => {
  const sent: ClientMessage[] = [];
  const table = new FileStreamTable((message) => sent.push(message) > 0, 1_000);
  table.opened(opened(1, "wanted"), false);
  table.opened(opened(2, "unwanted"), false);
  const wanted = await table.claim("wanted");
  expect(table.unclaimed).toBe(1);
  vi.advanceTimersByTime(1_000);
  expect(table.unclaimed).toBe(0);
  expect(sent).toEqual([{ type: "file.close", stream: 2 }]);
  table.frame({ stream: 1, offset: 0, payload: new Uint8Array([1]) });
  expect(await wanted.next()).toMatchObject({ kind: "bytes", offset: 0 });
});

it("a stream that is sealed without a claim is removed, and a lost connection leaves no timer", () => {
  const sent: ClientMessage[] = [];
  const table = new FileStreamTable((message) => sent.push(message) > 0, 1_000);
  table.opened(opened(1, "a"), false);
  table.sealed({ type: "file.sealed", stream: 1, size: 0, rows: 0, sha256: "" });
  vi.advanceTimersByTime(1_000);
  expect(table.unclaimed).toBe(0);
  expect(sent).toEqual([]);
  table.opened(opened(2, "b"), false);
  table.lost(new Error("connection lost") as never);
  expect(table.unclaimed).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});
