import type { Operator } from "./filter.js";

/** A language of the shipped names. */
export type NamesLanguage = "en" | "de";

/** What people call the formats. A format that is missing here is shown by its own name. */
export const formatNames: Readonly<Record<NamesLanguage, Readonly<Record<string, string>>>> = {
  en: {
    csv: "CSV (.csv)",
    tsv: "Tab-separated (.tsv)",
    ndjson: "JSON lines (.ndjson)",
    parquet: "Parquet (.parquet)",
    arrow: "Arrow (.arrows)",
    xlsx: "Excel workbook (.xlsx)",
    "xlsx-zip": "Excel workbooks in a ZIP",
    "csv-zip": "CSV files in a ZIP",
  },
  de: {
    csv: "CSV (.csv)",
    tsv: "Durch Tabulator getrennt (.tsv)",
    ndjson: "JSON-Zeilen (.ndjson)",
    parquet: "Parquet (.parquet)",
    arrow: "Arrow (.arrows)",
    xlsx: "Excel-Arbeitsmappe (.xlsx)",
    "xlsx-zip": "Excel-Arbeitsmappen als ZIP",
    "csv-zip": "CSV-Dateien als ZIP",
  },
};

/** What people call the operators of a filter. */
export const operatorNames: Readonly<Record<NamesLanguage, Readonly<Record<Operator, string>>>> = {
  en: {
    eq: "is",
    ne: "is not",
    lt: "less than",
    lte: "at most",
    gt: "more than",
    gte: "at least",
    in: "is one of",
    not_in: "is none of",
    between: "between",
    is_null: "has no value",
    is_blank: "is an empty text",
    like: "matches (% and _)",
    contains: "contains",
    not_contains: "does not contain",
  },
  de: {
    eq: "ist",
    ne: "ist nicht",
    lt: "kleiner als",
    lte: "höchstens",
    gt: "größer als",
    gte: "mindestens",
    in: "ist einer von",
    not_in: "ist keiner von",
    between: "zwischen",
    is_null: "hat keinen Wert",
    is_blank: "ist ein leerer Text",
    like: "passt auf (% und _)",
    contains: "enthält",
    not_contains: "enthält nicht",
  },
};
