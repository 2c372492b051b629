import type { Dataset, Export, ExportRequest } from "@sluice/client";
import { compressionsOf, type FilterRow, isIncomplete, type Match, toFilter } from "@sluice/client/form";
import { paramsOf, toParams } from "./params.js";

/** The values that the user has entered in the form. */
export interface Draft {
  columns: string[];
  template: string | undefined;
  format: string;
  compression: string;
  values: Record<string, unknown>;
  rows: FilterRow[];
  match: Match;
}

/** Returns the initial state of the form. */
export function emptyDraft(dataset: Dataset): Draft {
  return {
    columns: [],
    template: dataset.templates[0]?.name,
    format: dataset.formats[0] ?? "csv",
    compression: "none",
    values: {},
    rows: [],
    match: "all",
  };
}

/** Returns the draft with another format, and with a compression that the format supports. */
export function withFormat(dataset: Dataset, draft: Draft, format: string): Draft {
  const supported = compressionsOf(dataset, format);
  const compression = supported.includes(draft.compression) ? draft.compression : (supported[0] ?? "none");
  return { ...draft, format, compression };
}

/** Builds the request of the form; `undefined` while a value is missing. */
export function toRequest(dataset: Dataset, draft: Draft): ExportRequest | undefined {
  if (draft.rows.some(isIncomplete) || isMissingParams(dataset, draft)) {
    return undefined;
  }
  const filter = toFilter(draft.rows, dataset.columns, draft.match);
  const params = toParams(draft.values);
  return {
    dataset: dataset.name,
    ...(draft.template ? { template: draft.template } : undefined),
    format: draft.format,
    ...(draft.compression === "none" ? undefined : { compression: draft.compression }),
    ...(draft.columns.length > 0 ? { columns: draft.columns } : undefined),
    ...(filter ? { filter } : undefined),
    ...(params ? { params } : undefined),
  };
}

function isMissingParams(dataset: Dataset, draft: Draft): boolean {
  const given = toParams(draft.values) ?? {};
  return paramsOf(dataset.params).some(
    ({ name, required, initial }) => required && initial === undefined && !(name in given),
  );
}

/** Returns the request of an export, to repeat it. */
export function requestOf(item: Export): ExportRequest {
  const { dataset, template, format, compression, columns, filter, params } = item;
  return {
    dataset,
    template,
    format,
    ...(compression === "none" ? undefined : { compression }),
    ...(columns.length > 0 ? { columns } : undefined),
    ...(Object.keys(filter).length > 0 ? { filter } : undefined),
    ...(Object.keys(params).length > 0 ? { params } : undefined),
  };
}
