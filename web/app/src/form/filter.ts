import type { Column, Filter } from "@sluice/client";

/** Operators of the form. `not_in` and `not_contains` become a `not` around the plain one, `is_blank` asks for a text of no length. */
export type Operator =
  | "eq"
  | "ne"
  | "lt"
  | "lte"
  | "gt"
  | "gte"
  | "in"
  | "not_in"
  | "between"
  | "is_null"
  | "is_blank"
  | "like"
  | "contains"
  | "not_contains";

/** One row of the filter builder, as it was typed. */
export interface FilterRow {
  /** Tells rows apart on the page. */
  key: number;
  column: string;
  operator: Operator;
  /** One text for most operators, two for `between`, any number for `in` and `not_in`. */
  values: string[];
}

/** How rows are joined. */
export type Match = "all" | "any";

const TEXT: readonly Operator[] = [
  "eq",
  "ne",
  "in",
  "not_in",
  "contains",
  "not_contains",
  "like",
  "is_blank",
  "is_null",
];
const ORDERED: readonly Operator[] = [
  "eq",
  "ne",
  "lt",
  "lte",
  "gt",
  "gte",
  "between",
  "in",
  "not_in",
  "is_null",
];

/** The operators that fit a column type. Unknown types are text. */
export function operatorsOf(type: string): readonly Operator[] {
  switch (type) {
    case "int":
    case "float":
    case "decimal":
    case "date":
    case "datetime":
    case "time":
      return ORDERED;
    case "bool":
      return ["eq", "ne", "is_null"];
    default:
      return TEXT;
  }
}

/** The values that a row begins with when its operator or column changes. */
export function emptyValues(type: string, operator: Operator): string[] {
  if (operator === "in" || operator === "not_in") {
    return [];
  }
  if (operator === "between") {
    return ["", ""];
  }
  return isYesOrNo(type, operator) ? ["true"] : [""];
}

/** Whether a row asks for yes or no instead of a value. */
export function isYesOrNo(type: string, operator: Operator): boolean {
  return type === "bool" || operator === "is_null" || operator === "is_blank";
}

/** True when something is still to be entered. */
export function isIncomplete(row: FilterRow): boolean {
  return row.values.length === 0 || row.values.some((value) => value.trim() === "");
}

/** One typed value as the server wants it. What does not fit its type stays text, for the server to judge. */
export function literal(type: string, text: string): unknown {
  const trimmed = text.trim();
  switch (type) {
    case "int":
      return /^[+-]?\d+$/.test(trimmed) && Number.isSafeInteger(Number(trimmed)) ? Number(trimmed) : trimmed;
    case "float":
      return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
    case "bool":
      return trimmed === "true" ? true : trimmed === "false" ? false : trimmed;
    case "time":
      return /^\d\d:\d\d$/.test(trimmed) ? `${trimmed}:00` : trimmed;
    case "datetime":
      return /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(trimmed)
        ? `${trimmed}:00Z`
        : /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$/.test(trimmed)
          ? `${trimmed}Z`
          : trimmed;
    case "date":
    case "decimal":
      return trimmed; // a decimal stays text, so that no digit is lost
    default:
      return text;
  }
}

/** The filter that the rows say; `undefined` for none. */
export function toFilter(
  rows: readonly FilterRow[],
  columns: readonly Column[],
  match: Match,
): Filter | undefined {
  const parts = rows.map((row) =>
    part(row, columns.find((column) => column.name === row.column)?.type ?? "string"),
  );
  const [first] = parts;
  if (!first || parts.length === 1) {
    return first;
  }
  if (match === "any") {
    return { or: parts };
  }
  return merged(parts) ?? { and: parts };
}

function part(row: FilterRow, type: string): Filter {
  const values = row.values.map((value) => literal(type, value));
  const on = (operator: string, value: unknown): Filter => ({ [row.column]: { [operator]: value } });
  switch (row.operator) {
    case "in":
    case "between":
      return on(row.operator, values);
    case "not_in":
      return { not: on("in", values) };
    case "not_contains":
      return { not: on("contains", row.values[0]) };
    case "is_null":
      return on("is_null", row.values[0] === "true");
    case "is_blank":
      return on(row.values[0] === "true" ? "eq" : "ne", "");
    case "like":
    case "contains":
      return on(row.operator, row.values[0]);
    default:
      return on(row.operator, values[0]);
  }
}

/** `{"origin": {...}, "delay": {...}}` where that is possible: no column, and no `not`, twice. */
function merged(parts: readonly Filter[]): Filter | undefined {
  const all: Filter = {};
  for (const one of parts) {
    for (const [key, value] of Object.entries(one)) {
      if (key in all) {
        return undefined;
      }
      all[key] = value;
    }
  }
  return all;
}
