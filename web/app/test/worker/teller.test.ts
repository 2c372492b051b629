import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Teller } from "../../src/saving/worker/teller.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("positions are told now and then, and the last one also when nothing follows it", () => {
  const told: number[] = [];
  const teller = new Teller((received) => told.push(received));
  for (const received of [0, 10, 20]) {
    teller.position(received);
  }
  expect(told).toEqual([0]);
  vi.advanceTimersByTime(100);
  expect(told).toEqual([0, 20]);
  teller.position(30);
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([0, 20, 30]);
  expect(vi.getTimerCount()).toBe(0);
  teller.position(40);
  expect(told).toEqual([0, 20, 30, 40]);
  teller.position(50);
  teller.end();
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([0, 20, 30, 40]);
});
