import type { Dataset, Export, ExportRequest } from "@sluice/client";
import { type FilterRow, isIncomplete, type Match, toFilter } from "./filter.js";
import { paramsOf, toParams } from "./params.js";

/** What the form holds. */
export interface Draft {
  columns: string[];
  template: string | undefined;
  format: string;
  compression: string;
  values: Record<string, unknown>;
  rows: FilterRow[];
  match: Match;
}

/** What the form begins with. */
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

/** How a file of this format may be compressed, the default first. */
export function compressionsOf(dataset: Dataset, format: string): string[] {
  const info = dataset.formats_info?.find(({ name }) => name === format);
  return info?.compressions ?? dataset.compressions;
}

/** The draft with another format, and a compression that fits it. */
export function withFormat(dataset: Dataset, draft: Draft, format: string): Draft {
  const fitting = compressionsOf(dataset, format);
  const compression = fitting.includes(draft.compression) ? draft.compression : (fitting[0] ?? "none");
  return { ...draft, format, compression };
}

/** The request that the form says; `undefined` while something is still to be entered. */
export function toRequest(dataset: Dataset, draft: Draft): ExportRequest | undefined {
  if (draft.rows.some(isIncomplete) || lacksParams(dataset, draft)) {
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

function lacksParams(dataset: Dataset, draft: Draft): boolean {
  const given = toParams(draft.values) ?? {};
  return paramsOf(dataset.params).some(
    ({ name, required, initial }) => required && initial === undefined && !(name in given),
  );
}

/** The request that made an export, to make it again. */
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
