import type { Slug, WaitingFor } from "@sluice/client";
import type { Operator } from "@sluice/client/form";

/**
 * One text. `{name}` stands for a value. A text with a count may have one form for each plural category of its language
 * (`Intl.PluralRules`), of which `other` is required.
 */
export type Text = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);

/** Every text of the element in one language. */
export interface Strings {
  export: Text;
  starting: Text;
  exporting: Text;
  finishing: Text;
  nextInQueue: Text;
  queued: Text;
  rows: Text;
  rowsOf: Text;
  timeLeft: Text;
  saving: Text;
  bytesOf: Text;
  canceling: Text;
  saved: Text;
  savedFile: Text;
  interrupted: Text;
  cancel: Text;
  retry: Text;
  progress: Text;
  noToken: Text;
  tokenForbidden: Text;
  tokenStatus: Text;
  tokenAnswer: Text;
  tokenFailed: Text;
  tokenTimeout: Text;
  invalidAttribute: Text;
  problemField: Text;
  waitingFor: Record<WaitingFor, Text>;
  problems: Record<Slug, Text>;
  title: Text;
  close: Text;
  loading: Text;
  filter: Text;
  noFilter: Text;
  pageFilter: Text;
  addFilter: Text;
  removeFilter: Text;
  matchAll: Text;
  matchAny: Text;
  match: Text;
  column: Text;
  operator: Text;
  value: Text;
  values: Text;
  from: Text;
  to: Text;
  utc: Text;
  valueMissing: Text;
  yes: Text;
  no: Text;
  columns: Text;
  columnsChosen: Text;
  all: Text;
  none: Text;
  moveUp: Text;
  moveDown: Text;
  moved: Text;
  columnMissing: Text;
  format: Text;
  about: Text;
  estimating: Text;
  noEstimate: Text;
  cost: Text;
  /** Names of the formats; a format without one is shown by its own name. */
  formats: Readonly<Record<string, Text>>;
  operators: Readonly<Record<Operator, Text>>;
}

/** A part of the texts of one language; the rest stays as shipped. */
export type StringOverrides = {
  [K in keyof Strings]?: Strings[K] extends Text ? Text : Partial<Strings[K]>;
};
