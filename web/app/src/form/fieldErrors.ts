import type { Column, Dataset, FieldError } from "@sluice/client";
import { type FilterRow, filterRowAt, pointerParts } from "@sluice/client/form";
import { strings } from "../strings.js";
import { paramsOf } from "./params.js";

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
