import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ProgressThrottle } from "../../src/browser/progressThrottle.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("positions are reported at intervals, and the last one is always reported", () => {
  const reported: number[] = [];
  const throttle = new ProgressThrottle((received) => reported.push(received));
  for (const received of [0, 10, 20]) {
    throttle.update(received);
  }
  expect(reported).toEqual([0]);
  vi.advanceTimersByTime(100);
  expect(reported).toEqual([0, 20]);
  throttle.update(30);
  vi.advanceTimersByTime(1_000);
  expect(reported).toEqual([0, 20, 30]);
  expect(vi.getTimerCount()).toBe(0);
  throttle.update(40);
  expect(reported).toEqual([0, 20, 30, 40]);
  throttle.update(50);
  throttle.end();
  vi.advanceTimersByTime(1_000);
  expect(reported).toEqual([0, 20, 30, 40]);
});
