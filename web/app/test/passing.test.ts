import { SluiceError } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { isBusy, passesAfter } from "../src/live/passing.js";

describe("a problem", () => {
  it.each(["network", "unavailable", "timeout"] as const)(
    "that is %s is asked about again at once",
    (slug) => {
      const error = new SluiceError({ slug, title: slug });
      expect(isBusy(error)).toBe(true);
      expect(passesAfter(error, 4_000)).toBe(4_000);
    },
  );

  it.each(["unauthorized", "rate-limited", "internal"] as const)(
    "that is %s is left alone for a while",
    (slug) => {
      const error = new SluiceError({ slug, title: slug });
      expect(isBusy(error)).toBe(false);
      expect(passesAfter(error, 4_000)).toBe(4_000);
    },
  );

  it.each(["forbidden", "not-found", "invalid-request"] as const)("that is %s stays", (slug) => {
    expect(passesAfter(new SluiceError({ slug, title: slug }), 4_000)).toBe(false);
  });

  it("that there is not, is none", () => {
    expect(passesAfter(null, 4_000)).toBe(false);
  });

  it("is asked about when the server says", () => {
    const error = new SluiceError({ slug: "rate-limited", title: "too many", retryAfterMs: 60_000 });
    expect(passesAfter(error, 4_000)).toBe(60_000);
  });
});
