import { describe, expect, it } from "vitest";
import {
  type FilterRow,
  isIncomplete,
  literal,
  type Operator,
  operatorsOf,
  toFilter,
} from "../../src/form/filter.js";
import type { Column } from "../../src/protocol.js";

const columns: Column[] = [
  { name: "origin", type: "string", nullable: false },
  { name: "delay", type: "int", nullable: true },
  { name: "price", type: "decimal", nullable: true },
  { name: "late", type: "bool", nullable: true },
  { name: "at", type: "datetime", nullable: true },
];
let key = 0;
const row = (column: string, operator: Operator, ...values: string[]): FilterRow => ({
  key: ++key,
  column,
  operator,
  values,
});

describe("the filter form", () => {
  it.each([
    [[row("origin", "eq", "SEA")], { origin: { eq: "SEA" } }],
    [[row("delay", "gte", " 30 ")], { delay: { gte: 30 } }],
    [[row("delay", "between", "1", "2")], { delay: { between: [1, 2] } }],
    [[row("origin", "in", "SEA", "JFK")], { origin: { in: ["SEA", "JFK"] } }],
    [[row("origin", "not_in", "SEA")], { not: { origin: { in: ["SEA"] } } }],
    [[row("origin", "not_contains", "S")], { not: { origin: { contains: "S" } } }],
    [[row("delay", "is_null", "false")], { delay: { is_null: false } }],
    [[row("late", "eq", "true")], { late: { eq: true } }],
    [[row("origin", "is_blank", "true")], { origin: { eq: "" } }],
    [[row("origin", "is_blank", "false")], { origin: { ne: "" } }],
    [[row("origin", "in", "Smith, John")], { origin: { in: ["Smith, John"] } }],
    [[row("price", "lt", "0.10")], { price: { lt: "0.10" } }],
    [[row("at", "gte", "2026-11-22T15:26")], { at: { gte: "2026-11-22T15:26:00Z" } }],
    [[], undefined],
  ])("%j becomes %j", (rows, filter) => {
    expect(toFilter(rows, columns, "all")).toEqual(filter);
  });

  it("joins different columns in one object, and the same column with and", () => {
    const rows = [row("origin", "eq", "SEA"), row("delay", "gt", "5")];
    expect(toFilter(rows, columns, "all")).toEqual({ origin: { eq: "SEA" }, delay: { gt: 5 } });
    const same = [row("delay", "gt", "5"), row("delay", "lt", "9")];
    expect(toFilter(same, columns, "all")).toEqual({ and: [{ delay: { gt: 5 } }, { delay: { lt: 9 } }] });
  });

  it("joins rows with or when any may match", () => {
    const rows = [row("origin", "eq", "SEA"), row("delay", "gt", "5")];
    expect(toFilter(rows, columns, "any")).toEqual({ or: [{ origin: { eq: "SEA" } }, { delay: { gt: 5 } }] });
  });

  it("leaves a value that does not fit its type as text for the server", () => {
    expect(literal("int", "very late")).toBe("very late");
    expect(literal("int", "99999999999999999999")).toBe("99999999999999999999");
    expect(literal("float", "1e3")).toBe(1000);
    expect(literal("time", "15:26")).toBe("15:26:00");
    expect(literal("datetime", "2026-03-29T02:30")).toBe("2026-03-29T02:30:00Z");
    expect(literal("datetime", "2026-03-29T02:30", true)).toBe("2026-03-29T02:30:00");
    expect(literal("datetime", "2026-03-29T02:30:01.5", true)).toBe("2026-03-29T02:30:01.5");
    expect(literal("unknown", " kept ")).toBe(" kept ");
  });

  it("offers only operators that fit the type", () => {
    expect(operatorsOf("bool")).not.toContain("lt");
    expect(operatorsOf("int")).not.toContain("contains");
    expect(operatorsOf("uuid")).toContain("contains");
  });

  it("detects missing values", () => {
    expect(isIncomplete(row("delay", "between", "1", ""))).toBe(true);
    expect(isIncomplete(row("origin", "in"))).toBe(true);
    expect(isIncomplete(row("origin", "eq", "SEA"))).toBe(false);
  });
});
