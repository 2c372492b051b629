import { describe, expect, it } from "vitest";
import { Backoff, closeActionOf } from "../src/index.js";

describe("backoff", () => {
  it("doubles the upper bound from 0.5 s to 30 s", () => {
    const backoff = new Backoff({ random: () => 0.999_999 });
    const delays = Array.from({ length: 9 }, () => backoff.next());
    expect(delays).toEqual([499, 999, 1999, 3999, 7999, 15999, 29999, 29999, 29999]);
  });

  it("jitters over the full range", () => {
    expect(new Backoff({ random: () => 0 }).next()).toBe(0);
    expect(new Backoff({ random: () => 0.5 }).next()).toBe(250);
  });

  it("never returns less than the minimum delay", () => {
    expect(new Backoff({ random: () => 0 }).next(5000)).toBe(5000);
  });

  it("starts over after a reset", () => {
    const backoff = new Backoff({ random: () => 0.5 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).toBe(250);
  });
});

describe("close codes", () => {
  it.each([
    [1001, true, false],
    [1006, true, false],
    [1009, false, false],
    [4400, false, false],
    [4401, true, true],
    [4403, false, false],
    [4408, true, false],
    [4409, false, false],
    [4429, true, false],
    [4500, true, false],
    [4477, false, false],
    [4501, true, false],
  ])("%i: reconnect %s, new token %s", (code, retry, newToken) => {
    expect(closeActionOf(code)).toMatchObject({ retry, newToken });
  });

  it("4429 has a minimum delay", () => {
    expect(closeActionOf(4429).minDelayMs).toBeGreaterThan(0);
  });
});
