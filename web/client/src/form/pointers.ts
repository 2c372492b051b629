import type { FilterRow } from "./filter.js";

/** Splits a JSON Pointer (RFC 6901) into its unescaped parts. */
export function pointerParts(pointer: string): string[] {
  return pointer
    .split("/")
    .filter(Boolean)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Returns the filter row that a pointer of the server refers to; `undefined` for any other part of the request. */
export function filterRowAt(rows: readonly FilterRow[], pointer: string): FilterRow | undefined {
  const [root, first, second] = pointerParts(pointer);
  if (root !== "filter") {
    return undefined;
  }
  if (rows.length === 1) {
    return rows[0];
  }
  // a column may have the name of an operator, whose members are `and/0` and `not/COLUMN`
  if ((first === "and" || first === "or") && /^\d+$/.test(second ?? "")) {
    return rows[Number(second)];
  }
  const negated = first === "not" && rows.some((row) => row.column === second);
  const column = negated ? second : first;
  return rows.find((row) => row.column === column && row.operator.startsWith("not_") === negated);
}
