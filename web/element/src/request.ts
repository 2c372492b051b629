import type { ExportRequest, Filter } from "@sluice/client";
import { isScriptGateway } from "./token.js";

/** The parts of a request, as attributes or properties give them: texts, or the values themselves. */
export interface RequestInput {
  dataset: string | null;
  filter: string | Filter | null;
  columns: string | readonly string[] | null;
  params: string | Record<string, unknown> | null;
  format: string | null;
  template: string | null;
  compression: string | null;
  timeZone: string | null;
}

/** An attribute or property whose value can't be used. */
export class InvalidAttribute extends Error {
  /** Name of the attribute. */
  readonly attribute: string;

  /** `detail` says what is wrong with it. */
  constructor(attribute: string, detail = "missing, or of another form") {
    super(`no valid ${attribute}: ${detail}`);
    this.attribute = attribute;
  }
}

/** What decides about the address of the gateway. */
export interface GatewayInput {
  baseUrl: string;
  /** Whether the page's script has set the address, and not markup. */
  setByScript: boolean;
  /** Address of the page. */
  pageUrl: string;
  /** Address of the gateway that served the script, with a trailing slash. */
  scriptBase: string | undefined;
}

/**
 * Returns the absolute address of the gateway, which gets the user's token. So markup alone names no other gateway than
 * the one that served the script.
 *
 * @throws InvalidAttribute `base-url`.
 */
export function toGatewayUrl({ baseUrl, setByScript, pageUrl, scriptBase }: GatewayInput): string {
  const hasForm = /^(https?:\/\/|[./])/i.test(baseUrl); // a wrong text would be an address below the page
  const url = hasForm && URL.canParse(baseUrl, pageUrl) ? new URL(baseUrl, pageUrl) : undefined;
  if (!url) {
    throw new InvalidAttribute("base-url", "it is not an address such as https://exports.example.com");
  }
  if (!setByScript && !isScriptGateway(url.href, scriptBase)) {
    const detail =
      "a token goes only to the gateway that served the script, or that the property baseUrl names";
    throw new InvalidAttribute("base-url", detail);
  }
  return url.href;
}

/**
 * Builds the request of an export.
 *
 * @throws InvalidAttribute when `dataset` is missing, or a value has another shape.
 */
export function toRequest(input: RequestInput): ExportRequest {
  if (!input.dataset) {
    throw new InvalidAttribute("dataset");
  }
  const filter = objectOf("filter", input.filter);
  const params = objectOf("params", input.params);
  const columns = columnsOf(input.columns);
  return {
    dataset: input.dataset,
    ...(input.template ? { template: input.template } : undefined),
    ...(input.format ? { format: input.format } : undefined),
    ...(input.compression ? { compression: input.compression } : undefined),
    ...(filter ? { filter } : undefined),
    ...(columns.length > 0 ? { columns } : undefined),
    ...(params ? { params } : undefined),
    ...(input.timeZone ? { time_zone: input.timeZone } : undefined),
  };
}

function objectOf(attribute: string, given: string | object | null): Record<string, unknown> | undefined {
  if (given === null || given === "") {
    return undefined;
  }
  const value: unknown = typeof given === "string" ? parse(attribute, given) : given;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidAttribute(attribute);
  }
  return Object.keys(value).length > 0 ? (value as Record<string, unknown>) : undefined;
}

/** Reads names between commas, or a JSON array for names with commas. */
function columnsOf(given: string | readonly string[] | null): string[] {
  if (typeof given === "string" && !given.trimStart().startsWith("[")) {
    return given
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "");
  }
  const value: unknown = typeof given === "string" ? parse("columns", given) : (given ?? []);
  if (!Array.isArray(value) || value.some((name) => typeof name !== "string")) {
    throw new InvalidAttribute("columns");
  }
  return [...value];
}

function parse(attribute: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidAttribute(attribute);
  }
}
