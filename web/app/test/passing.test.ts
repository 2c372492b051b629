import { SluiceError } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { isBusy, mayPass } from "../src/live/passing.js";

describe("a problem", () => {
  it.each(["network", "unavailable", "timeout"] as const)(
    "that is %s is asked about again at once",
    (slug) => {
      const error = new SluiceError({ slug, title: slug });
      expect(isBusy(error)).toBe(true);
      expect(mayPass(error)).toBe(true);
    },
  );

  it.each(["unauthorized", "rate-limited", "internal"] as const)(
    "that is %s is left alone for a while",
    (slug) => {
      const error = new SluiceError({ slug, title: slug });
      expect(isBusy(error)).toBe(false);
      expect(mayPass(error)).toBe(true);
    },
  );

  it.each(["forbidden", "not-found", "invalid-request"] as const)("that is %s stays", (slug) => {
    expect(mayPass(new SluiceError({ slug, title: slug }))).toBe(false);
  });

  it("that there is not, is none", () => {
    expect(mayPass(null)).toBe(false);
  });
});
