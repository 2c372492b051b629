import type { Export } from "@sluice/client";
import { describe } from "../exports/describe.js";
import { strings } from "../strings.js";

/** Whether every word of the search is found in what the page shows of an export. */
export function matches(item: Export, search: string): boolean {
  const text = [
    item.id,
    item.dataset,
    item.format,
    item.file?.name ?? "",
    strings.status[item.status],
    describe(item),
    item.columns.join(" "),
  ]
    .join(" ")
    .toLocaleLowerCase();
  return search
    .toLocaleLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
