import type { Column, Dataset } from "../protocol.js";

/** A column in a form, which lists all columns in the order of the file. */
export interface ColumnChoice {
  name: string;
  /** Whether the file has the column. */
  chosen: boolean;
}

/** Returns the columns that a request with this template may choose; without a template, with the dataset's first. */
export function columnsOf(dataset: Dataset, template: string | null | undefined): readonly Column[] {
  const chosen = dataset.templates.find(({ name }) => name === template) ?? dataset.templates[0];
  return chosen?.columns ?? dataset.columns;
}

/** Returns all columns: those with these names come first, in the order of the names. Without names, all are chosen. */
export function columnChoices(
  columns: readonly Column[],
  names: readonly string[] | null | undefined,
): ColumnChoice[] {
  const all = columns.map(({ name }) => name);
  if (!names?.length) {
    return all.map((name) => ({ name, chosen: true }));
  }
  const known = [...new Set(names)].filter((name) => all.includes(name));
  const others = all.filter((name) => !known.includes(name));
  return [
    ...known.map((name) => ({ name, chosen: true })),
    ...others.map((name) => ({ name, chosen: false })),
  ];
}

/** Returns the names of the chosen columns, in the order of the file. */
export function chosenNames(choices: readonly ColumnChoice[]): string[] {
  return choices.filter(({ chosen }) => chosen).map(({ name }) => name);
}

/** Moves a chosen column before the previous chosen one (`-1`) or behind the next (`1`); there may be none. */
export function moveColumn(choices: readonly ColumnChoice[], name: string, by: -1 | 1): ColumnChoice[] {
  const chosen = choices.filter((choice) => choice.chosen);
  const from = chosen.findIndex((choice) => choice.name === name);
  const moved = chosen[from];
  const neighbor = chosen[from + by];
  if (!moved || !neighbor) {
    return [...choices];
  }
  const rest = choices.filter((choice) => choice !== moved);
  const to = rest.indexOf(neighbor) + (by === 1 ? 1 : 0);
  return [...rest.slice(0, to), moved, ...rest.slice(to)];
}

/** Returns `columns` of the request; `undefined` when the file has all columns in their own order. */
export function requestedColumns(
  choices: readonly ColumnChoice[],
  columns: readonly Column[],
): string[] | undefined {
  const names = chosenNames(choices);
  const isDefault =
    names.length === columns.length && columns.every((column, index) => column.name === names[index]);
  return isDefault ? undefined : names;
}
