import type { Export } from "@sluice/client";
import { describeRequest } from "../exports/describeRequest.js";
import { strings } from "../strings.js";

/** Returns whether the text that the page shows of an export contains every word of the search. */
export function matchesSearch(item: Export, search: string): boolean {
  const text = [
    item.id,
    item.dataset,
    item.format,
    item.file?.name ?? "",
    strings.status[item.status],
    describeRequest(item),
    item.columns.join(" "),
  ]
    .join(" ")
    .toLocaleLowerCase();
  return search
    .toLocaleLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
