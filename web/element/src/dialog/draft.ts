import type { Dataset, ExportRequest } from "@sluice/client";
import {
  type ColumnChoice,
  chosenNames,
  columnChoices,
  columnsOf,
  compressionsOf,
  type FilterRow,
  isIncomplete,
  type Match,
  requestedColumns,
  toFilter,
} from "@sluice/client/form";

/** What the user has entered in the dialog. */
export interface Draft {
  rows: FilterRow[];
  match: Match;
  /** All columns, in the order of the file. */
  columns: readonly ColumnChoice[];
  format: string;
}

/** Returns the draft that equals the page's request. */
export function initialDraft(dataset: Dataset, base: ExportRequest): Draft {
  const format = base.format ?? "csv";
  return {
    rows: [],
    match: "all",
    columns: columnChoices(columnsOf(dataset, base.template), base.columns),
    format: dataset.formats.includes(format) ? format : (dataset.formats[0] ?? format),
  };
}

/** Returns whether the request lacks something that only the user can enter. */
export function isUnfinished(draft: Draft): boolean {
  return chosenNames(draft.columns).length === 0 || draft.rows.some(isIncomplete);
}

/**
 * Builds the request: that of the page with the user's choices. The page's filter stays, and the user's applies in
 * addition.
 */
export function requestOf(dataset: Dataset, base: ExportRequest, draft: Draft): ExportRequest {
  const { columns: _columns, filter: pageFilter, compression, ...rest } = base;
  const own = toFilter(draft.rows, dataset.columns, draft.match);
  const filter = pageFilter && own ? { and: [pageFilter, own] } : (pageFilter ?? own);
  const columns = requestedColumns(draft.columns, columnsOf(dataset, base.template));
  const supported = compressionsOf(dataset, draft.format);
  return {
    ...rest,
    format: draft.format,
    ...(compression && supported.includes(compression) ? { compression } : undefined),
    ...(columns ? { columns } : undefined),
    ...(filter ? { filter } : undefined),
  };
}

/** Returns the pointer of a server's error within the user's own filter; `undefined` outside of it. */
export function ownFilterPointer(pointer: string, hasPageFilter: boolean): string | undefined {
  const prefix = hasPageFilter ? "/filter/and/1" : "/filter";
  return pointer === prefix || pointer.startsWith(`${prefix}/`)
    ? `/filter${pointer.slice(prefix.length)}`
    : undefined;
}
