import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ProgressThrottle } from "../../src/saving/worker/progressThrottle.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("positions are told now and then, and the last one also when nothing follows it", () => {
  const told: number[] = [];
  const progress = new ProgressThrottle((received) => told.push(received));
  for (const received of [0, 10, 20]) {
    progress.position(received);
  }
  expect(told).toEqual([0]);
  vi.advanceTimersByTime(100);
  expect(told).toEqual([0, 20]);
  progress.position(30);
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([0, 20, 30]);
  expect(vi.getTimerCount()).toBe(0);
  progress.position(40);
  expect(told).toEqual([0, 20, 30, 40]);
  progress.position(50);
  progress.end();
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([0, 20, 30, 40]);
});
