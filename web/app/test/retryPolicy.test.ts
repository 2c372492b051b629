import { SluiceError } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { isTransient, retryInterval } from "../src/live/retryPolicy.js";

describe("a problem", () => {
  it.each([
    ["network", true],
    ["unavailable", true],
    ["timeout", true],
    ["unauthorized", false],
    ["rate-limited", false],
    ["internal", false],
  ] as const)("%s is retried later, and at once: %s", (slug, atOnce) => {
    const error = new SluiceError({ slug, title: slug });
    expect(isTransient(error)).toBe(atOnce);
    expect(retryInterval(error, 4_000)).toBe(4_000);
  });

  it.each(["forbidden", "not-found", "invalid-request"] as const)("%s is not retried", (slug) => {
    expect(retryInterval(new SluiceError({ slug, title: slug }), 4_000)).toBe(false);
  });

  it("that does not exist is not retried", () => {
    expect(retryInterval(null, 4_000)).toBe(false);
  });

  it("is retried after Retry-After", () => {
    const error = new SluiceError({ slug: "rate-limited", title: "too many", retryAfterMs: 60_000 });
    expect(retryInterval(error, 4_000)).toBe(60_000);
  });
});
