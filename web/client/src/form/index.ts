/** The logic of an export form, for pages that build their own: filters, errors of fields, and texts and numbers for people. */
export {
  type ColumnChoice,
  chosenNames,
  columnChoices,
  columnsOf,
  moveColumn,
  requestedColumns,
} from "./columns.js";
export { compressionsOf } from "./compressions.js";
export {
  emptyValues,
  type FilterRow,
  isIncomplete,
  isYesOrNo,
  literal,
  type Match,
  type Operator,
  operatorsOf,
  toFilter,
} from "./filter.js";
export { type Formatters, formatters } from "./formatters.js";
export { formatNames, type NamesLanguage, operatorNames } from "./names.js";
export { filterRowAt, pointerParts } from "./pointers.js";
export { problemTitles, waitingNames } from "./problems.js";
