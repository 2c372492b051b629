import type { Column, Filter } from "../protocol.js";

/**
 * Operators of the form. `not_in` and `not_contains` become a `not` around the plain operator; `is_blank` compares with
 * an empty text.
 */
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

/** One row of the filter builder, with the texts that the user typed. */
export interface FilterRow {
  /** React key of the row, unique on the page. */
  key: number;
  column: string;
  operator: Operator;
  /** One text for most operators, two for `between`, any number for `in` and `not_in`. */
  values: string[];
}

/** Whether all rows or any row must match. */
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

/** Returns the operators of a column type. Unknown types are treated as text. */
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

/** Returns the initial values of a row when its operator or column changes. */
export function emptyValues(type: string, operator: Operator): string[] {
  if (operator === "in" || operator === "not_in") {
    return [];
  }
  if (operator === "between") {
    return ["", ""];
  }
  return isYesOrNo(type, operator) ? ["true"] : [""];
}

/** Returns whether a row has a yes-or-no value. */
export function isYesOrNo(type: string, operator: Operator): boolean {
  return type === "bool" || operator === "is_null" || operator === "is_blank";
}

/** Returns whether the row lacks a value. */
export function isIncomplete(row: FilterRow): boolean {
  return row.values.length === 0 || row.values.some((value) => value.trim() === "");
}

/**
 * Converts a text that the user typed to the JSON value of the column type. A text that does not fit stays text, so
 * that the server reports the error. A moment of a `local` column has no offset.
 */
export function literal(type: string, text: string, local = false): unknown {
  const trimmed = text.trim();
  const offset = local ? "" : "Z";
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
        ? `${trimmed}:00${offset}`
        : /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$/.test(trimmed)
          ? `${trimmed}${offset}`
          : trimmed;
    case "date":
    case "decimal":
      return trimmed; // a decimal stays text, so that it loses no digit
    default:
      return text;
  }
}

/** Builds the filter from the rows; `undefined` without rows. */
export function toFilter(
  rows: readonly FilterRow[],
  columns: readonly Column[],
  match: Match,
): Filter | undefined {
  const conditions = rows.map((row) => {
    const column = columns.find((column) => column.name === row.column);
    return toCondition(row, column?.type ?? "string", column?.local ?? false);
  });
  const [first] = conditions;
  if (!first || conditions.length === 1) {
    return first;
  }
  if (match === "any") {
    return { or: conditions };
  }
  return mergeConditions(conditions) ?? { and: conditions };
}

function toCondition(row: FilterRow, type: string, local: boolean): Filter {
  const values = row.values.map((value) => literal(type, value, local));
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

/**
 * Merges the conditions into one object, `{"origin": {...}, "delay": {...}}`; `undefined` when a column or `not` occurs
 * twice.
 */
function mergeConditions(conditions: readonly Filter[]): Filter | undefined {
  const all: Filter = {};
  for (const one of conditions) {
    for (const [key, value] of Object.entries(one)) {
      if (key in all) {
        return undefined;
      }
      all[key] = value;
    }
  }
  return all;
}
