import type { Column, Dataset } from "@sluice/client";
import { type FilterRow, filterRowAt, type Match, type Operator, toFilter } from "@sluice/client/form";
import { describe, expect, it } from "vitest";
import { fieldLabel } from "../src/form/fieldErrors.js";

const columns = [
  { name: "delay", label: "Delay", type: "int" },
  { name: "a/b", type: "string" },
  { name: "and", type: "int" },
  { name: "not", type: "int" },
] as unknown as Column[];
const dataset = {
  columns,
  params: { properties: { muscles: { type: "array", title: "Muscles" } } },
} as unknown as Dataset;

let queryKeys = 0;
function row(column: string, operator: Operator, ...values: string[]): FilterRow {
  queryKeys += 1;
  return { key: queryKeys, column, operator, values };
}

/** Returns every pointer into a value, as in the server's field errors. */
function pointers(value: unknown, base: string): string[] {
  if (typeof value !== "object" || value === null) {
    return [base];
  }
  return Object.entries(value).flatMap(([key, part]) =>
    pointers(part, `${base}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`),
  );
}

describe("a field error of the filter", () => {
  it.each<[Match, FilterRow[]]>([
    ["all", [row("delay", "gte", "x")]],
    ["all", [row("a/b", "not_in", "1", "2")]],
    ["all", [row("delay", "between", "x", "y"), row("a/b", "eq", "s")]],
    ["all", [row("delay", "gt", "x"), row("delay", "lt", "y")]],
    ["all", [row("delay", "not_in", "x"), row("delay", "lt", "y")]],
    ["all", [row("and", "gt", "x"), row("not", "eq", "y"), row("delay", "lt", "z")]],
    ["all", [row("and", "gt", "x"), row("not", "not_in", "y"), row("delay", "not_in", "z")]],
    ["any", [row("delay", "gt", "x"), row("a/b", "not_contains", "y"), row("delay", "is_null", "true")]],
  ])("belongs to the row of its pointer: %s of %j", (match, rows) => {
    const filter = toFilter(rows, columns, match);
    const found = pointers(filter, "/filter").map((pointer) => filterRowAt(rows, pointer));
    expect(new Set(found)).toEqual(new Set(rows));
  });

  it("has the labels of the page", () => {
    const rows = [row("delay", "gte", "x"), row("a/b", "not_contains", "y")];
    const label = (pointer: string) => fieldLabel({ pointer, detail: "" }, rows, dataset);
    expect(label("/filter/delay/gte")).toBe("Delay at least");
    expect(label("/filter/not/a~1b/contains")).toBe("a/b does not contain");
    expect(label("/filter/removed")).toBe("Filter");
    expect(label("/params/muscles/0")).toBe("Muscles");
    expect(label("/columns/1")).toBe("Columns");
    expect(label("/unheard-of")).toBeUndefined();
  });
});
