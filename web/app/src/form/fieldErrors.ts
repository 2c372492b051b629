import type { Column, Dataset, FieldError } from "@sluice/client";
import { strings } from "../strings.js";
import type { FilterRow } from "./filter.js";
import { paramsOf } from "./params.js";

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
  if (first === "and" || first === "or") {
    return rows[Number(second)];
  }
  const negated = first === "not";
  const column = negated ? second : first;
  return rows.find((row) => row.column === column && row.operator.startsWith("not_") === negated);
}

/** Returns the label of a request field on the page: column and operator of a filter row, or a parameter's label. */
export function fieldLabel(
  { pointer }: FieldError,
  rows: readonly FilterRow[],
  { columns, params }: Pick<Dataset, "columns" | "params">,
): string | undefined {
  const row = filterRowAt(rows, pointer);
  if (row) {
    return `${columnLabel(columns, row.column)} ${strings.operators[row.operator]}`;
  }
  const [root, name] = pointerParts(pointer);
  switch (root) {
    case "params":
      return paramsOf(params).find((param) => param.name === name)?.label;
    case "filter":
      return strings.form.filters;
    case "columns":
      return strings.form.columns;
    case "format":
      return strings.form.format;
    case "template":
      return strings.form.template;
    case "compression":
      return strings.form.compression;
    default:
      return undefined;
  }
}

function columnLabel(columns: readonly Column[], name: string): string {
  return columns.find((column) => column.name === name)?.label ?? name;
}
