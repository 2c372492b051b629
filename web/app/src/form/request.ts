import type { Dataset, Export, ExportRequest } from "@sluice/client";
import {
  type ColumnChoice,
  columnChoices,
  columnsOf,
  compressionsOf,
  type FilterRow,
  isIncomplete,
  type Match,
  requestedColumns,
  toFilter,
} from "@sluice/client/form";
import { paramsOf, toParams } from "./params.js";

/** The values that the user has entered in the form. */
export interface Draft {
  /** All columns, in the order of the file. */
  columns: ColumnChoice[];
  template: string | undefined;
  format: string;
  compression: string;
  values: Record<string, unknown>;
  rows: FilterRow[];
  match: Match;
}

/** Returns the initial state of the form. */
export function emptyDraft(dataset: Dataset): Draft {
  const template = dataset.templates[0]?.name;
  return {
    columns: columnChoices(columnsOf(dataset, template), undefined),
    template,
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

/** Returns the draft with another template, and with the columns of that, if it has its own. */
export function withTemplate(dataset: Dataset, draft: Draft, template: string): Draft {
  const columns = columnsOf(dataset, template);
  const isSame = columns === columnsOf(dataset, draft.template);
  return { ...draft, template, columns: isSame ? draft.columns : columnChoices(columns, undefined) };
}

/** Builds the request of the form; `undefined` while a value is missing. */
export function toRequest(dataset: Dataset, draft: Draft): ExportRequest | undefined {
  if (draft.rows.some(isIncomplete) || isMissingParams(dataset, draft)) {
    return undefined;
  }
  const filter = toFilter(draft.rows, dataset.columns, draft.match);
  const params = toParams(draft.values);
  const columns = requestedColumns(draft.columns, columnsOf(dataset, draft.template));
  return {
    dataset: dataset.name,
    ...(draft.template ? { template: draft.template } : undefined),
    format: draft.format,
    ...(draft.compression === "none" ? undefined : { compression: draft.compression }),
    ...(columns ? { columns } : undefined),
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
