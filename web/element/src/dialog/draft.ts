import type { Column, Dataset, ExportRequest } from "@sluice/client";
import { compressionsOf, type FilterRow, isIncomplete, type Match, toFilter } from "@sluice/client/form";

/** What the user has entered in the dialog. */
export interface Draft {
  rows: FilterRow[];
  match: Match;
  /** Names of the chosen columns. */
  columns: ReadonlySet<string>;
  format: string;
}

/** Returns the columns that a request may choose. */
export function columnsOf(dataset: Dataset, template: string | null | undefined): readonly Column[] {
  const chosen = dataset.templates.find(({ name }) => name === template) ?? dataset.templates[0];
  return chosen?.columns ?? dataset.columns;
}

/** Returns the draft that equals the page's request. */
export function initialDraft(dataset: Dataset, base: ExportRequest): Draft {
  const all = columnsOf(dataset, base.template).map(({ name }) => name);
  const format = base.format ?? "csv";
  return {
    rows: [],
    match: "all",
    columns: new Set(base.columns?.length ? base.columns : all),
    format: dataset.formats.includes(format) ? format : (dataset.formats[0] ?? format),
  };
}

/** Returns whether the request lacks something that only the user can enter. */
export function isUnfinished(draft: Draft): boolean {
  return draft.columns.size === 0 || draft.rows.some(isIncomplete);
}

/**
 * Builds the request: that of the page with the user's choices. The page's filter stays, and the user's applies in
 * addition.
 */
export function requestOf(dataset: Dataset, base: ExportRequest, draft: Draft): ExportRequest {
  const { columns: _columns, filter: pageFilter, compression, ...rest } = base;
  const own = toFilter(draft.rows, dataset.columns, draft.match);
  const filter = pageFilter && own ? { and: [pageFilter, own] } : (pageFilter ?? own);
  const all = columnsOf(dataset, base.template).map(({ name }) => name);
  // the page's order comes first, so that unchanged columns keep it
  const order = [...new Set([...(base.columns ?? []), ...all])].filter((name) => draft.columns.has(name));
  const isAll = order.length === all.length && order.every((name, index) => name === all[index]);
  const supported = compressionsOf(dataset, draft.format);
  return {
    ...rest,
    format: draft.format,
    ...(compression && supported.includes(compression) ? { compression } : undefined),
    ...(isAll ? undefined : { columns: order }),
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
