import type { Export, Filter } from "@sluice/client";
import { formatList } from "../format.js";
import { strings } from "../strings.js";

/** Describes parameters and filter of an export in a few words. Empty when the export has neither. */
export function describeRequest(item: Pick<Export, "filter" | "params">): string {
  const params = Object.entries(item.params ?? {}).map(([name, value]) => `${name}: ${valueText(value)}`);
  return [...params, ...(item.filter ? describeFilter(item.filter) : [])].join(" · ");
}

function describeFilter(filter: Filter): string[] {
  return Object.entries(filter).map(([key, value]) => {
    if ((key === "and" || key === "or") && Array.isArray(value)) {
      const parts = value.map((part: Filter) => describeFilter(part).join(" · "));
      return key === "and" ? parts.join(" · ") : strings.exports.either(parts);
    }
    if (key === "not" && !isCondition(value)) {
      return strings.exports.not(describeFilter(value as Filter).join(" · "));
    }
    return Object.entries(value as Record<string, unknown>)
      .map(([operator, operand]) => comparison(key, operator, operand))
      .join(" · ");
  });
}

/** Returns whether the value of `not` is a condition on a column called `not`: its keys are operators of a column. */
function isCondition(value: unknown): boolean {
  const keys = Object.keys(value as Record<string, unknown>);
  return keys.length > 0 && keys.every((key) => key in strings.operators);
}

function comparison(column: string, operator: string, operand: unknown): string {
  const words = (strings.operators as Record<string, string>)[operator] ?? operator;
  if (operator === "is_null") {
    return `${column} ${operand === false ? strings.exports.isNotNull : words}`;
  }
  return `${column} ${words} ${valueText(operand)}`;
}

function valueText(value: unknown): string {
  if (value === "") {
    return strings.exports.emptyText;
  }
  return Array.isArray(value) ? formatList(value.map(String)) : String(value);
}
