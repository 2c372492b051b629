import type { Export } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { exportsPerDay } from "../src/history/exportsPerDay.js";
import { matchesSearch } from "../src/history/matchesSearch.js";

const item = {
  id: "0199-abc",
  dataset: "flights",
  template: "default",
  format: "csv",
  compression: "none",
  status: "completed",
  columns: ["date"],
  filter: { origin: { eq: "SEA" } },
  params: {},
  file: { name: "flights-2026.csv" },
} as unknown as Export;

describe("history", () => {
  it("finds every word, in any order, in the shown text", () => {
    for (const found of ["", "sea", "FLIGHTS csv", "completed origin", "0199"]) {
      expect(matchesSearch(item, found), found).toBe(true);
    }
    expect(matchesSearch(item, "sea jfk")).toBe(false);
  });

  it("counts every export on its day in the user's time zone", () => {
    const now = new Date(2026, 10, 22, 12);
    const at = (day: number, hour: number, status: Export["status"]) => ({
      requested_at: new Date(2026, 10, day, hour).toISOString(),
      status,
    });
    const items = [
      at(22, 0, "completed"),
      at(21, 23, "failed"),
      at(21, 1, "expired"),
      at(10, 1, "completed"),
    ];
    const days = exportsPerDay(items, 3, now);
    expect(days.map(({ completed, other }) => [completed, other])).toEqual([
      [0, 0],
      [1, 1],
      [1, 0],
    ]);
    expect(days[2]?.at).toBe(new Date(2026, 10, 22).getTime());
  });
});
