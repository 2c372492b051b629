import { expect, it } from "vitest";
import { formatters } from "../../src/form/formatters.js";

it("numbers follow the locale", () => {
  const en = formatters("en");
  const de = formatters("de");
  expect([en.count(3_000_000), de.count(3_000_000)]).toEqual(["3,000,000", "3.000.000"]);
  expect([en.bytes(12_700_000), de.bytes(12_700_000)]).toEqual(["12.7 MB", "12,7 MB"]);
  expect([en.bytes(1), en.bytes(999), en.bytes(1e15)]).toEqual(["1 byte", "999 bytes", "1,000 TB"]);
  expect([1, 90_000, 5_400_000].map(en.duration)).toEqual(["1 sec", "2 min", "2 hr"]);
  expect(en.percent(0.5)).toBe("50%");
});
