import { expect, it } from "vitest";
import { expiryOf, LIFETIMES } from "../src/keys/lifetime.js";
import { strings } from "../src/strings.js";

it("a lifetime becomes an expiry, and every lifetime has a text", () => {
  const now = new Date("2026-02-27T12:00:00Z");
  expect(expiryOf("7", now)).toBe("2026-03-06T12:00:00.000Z");
  expect(expiryOf("never", now)).toBeNull();
  for (const lifetime of LIFETIMES) {
    expect(strings.keys.lifetimes[lifetime]).not.toBe("");
  }
});
