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
  ] as const)("that is %s is asked about again later; at once: %s", (slug, atOnce) => {
    const error = new SluiceError({ slug, title: slug });
    expect(isTransient(error)).toBe(atOnce);
    expect(retryInterval(error, 4_000)).toBe(4_000);
  });

  it.each(["forbidden", "not-found", "invalid-request"] as const)("that is %s stays", (slug) => {
    expect(retryInterval(new SluiceError({ slug, title: slug }), 4_000)).toBe(false);
  });

  it("that there is not, is none", () => {
    expect(retryInterval(null, 4_000)).toBe(false);
  });

  it("is asked about when the server says", () => {
    const error = new SluiceError({ slug: "rate-limited", title: "too many", retryAfterMs: 60_000 });
    expect(retryInterval(error, 4_000)).toBe(60_000);
  });
});
