import type { Dataset } from "@sluice/client";
import { strings } from "../strings.js";

/** The titles of the built-in templates. A template of the catalog may have the same name, but is something else. */
const BUILT_IN_TITLES: Readonly<Record<string, string>> = {
  default: "All columns as they are",
  plain: "For programs: the table alone",
  spreadsheet: "For Excel, LibreOffice and other spreadsheets",
};

/** Returns a template's line in the list of templates: what it is for in this format, or the title of the catalog. */
export function templateLabel({ name, title }: Dataset["templates"][number], format: string): string {
  if (BUILT_IN_TITLES[name] !== title) {
    return title;
  }
  const { templates, defaultAsComments } = strings.form;
  const hasComments = name === "default" && (format === "csv" || format === "tsv");
  return hasComments ? defaultAsComments : (templates[name] ?? title);
}
