import type { SluiceError } from "@sluice/client";
import { TokenError } from "./token.js";

/** Where a failure happened. */
export interface FailureContext {
  /** Address of the gateway. */
  gateway: string;
  /** Origin of the page. */
  origin: string;
}

/** Slugs of ends that the user or the page has chosen. */
const CHOSEN: readonly string[] = ["canceled", "aborted"];

/** Statuses that a gateway never sends without a trace id, and that a proxy in front of one has no reason to send. */
const FOREIGN: readonly number[] = [404, 405, 501];

/** Writes a failure to the console, for the people who build the page. The button itself says what its user can do. */
export function reportFailure(error: SluiceError, context: FailureContext): void {
  if (!CHOSEN.includes(error.slug)) {
    // biome-ignore lint/suspicious/noConsole: the people who build the page look there
    console.error(reportOf(error, context));
  }
}

/** Returns the report of a failure, without any token. */
export function reportOf(error: SluiceError, { gateway, origin }: FailureContext): string {
  const status = error.status > 0 ? `${error.slug}, ${error.status}` : error.slug;
  const lines = [
    `<sluice-export>: ${error.message} (${status})`,
    ...error.errors.map(({ pointer, detail }) => `${pointer}: ${detail}`),
  ];
  const ownPage = error instanceof TokenError;
  if (!ownPage && error.slug === "network") {
    lines.push(`Either ${gateway} does not answer, or its setting gateway.allowed_origins lacks ${origin}.`);
  } else if (!ownPage && isForeignAnswer(error)) {
    lines.push(`Is ${gateway} (base-url) the address of a Sluice gateway?`);
  }
  if (error.traceId !== undefined) {
    lines.push(`trace_id: ${error.traceId}`);
  }
  return withoutTokens(lines.join("\n"));
}

/** Returns whether another server than a gateway has answered: a gateway's problems have a trace id. */
export function isForeignAnswer({ slug, status, traceId }: SluiceError): boolean {
  return slug === "protocol" || (FOREIGN.includes(status) && traceId === undefined);
}

/** Removes what looks like a token: some browsers quote a header that they refuse. */
function withoutTokens(text: string): string {
  return text.replace(/Bearer\s+[^\s"']+/g, "Bearer …").replace(/\beyJ[\w-]+(\.[\w-]+)*/g, "…");
}
