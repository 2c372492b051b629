import type { ServerSlug } from "./errors.js";

/** How a client reacts to a close code. */
export interface CloseAction {
  /** Whether the client reconnects without a call of the application. */
  retry: boolean;
  /** Whether the client requests a new token before it reconnects. */
  newToken: boolean;
  /** Minimum delay before the reconnect, in milliseconds. */
  minDelayMs: number;
  /** Problem slug to report when the client does not reconnect. */
  slug: ServerSlug;
  /** Short English description, for logs. */
  meaning: string;
}

const action = (
  retry: boolean,
  slug: ServerSlug,
  meaning: string,
  more: Partial<CloseAction> = {},
): CloseAction => ({ retry, newToken: false, minDelayMs: 0, slug, meaning, ...more });

/** The close codes of `sluice.v1` and the reaction to each (docs/protocol.md). */
export const CLOSE_CODES: Readonly<Record<number, CloseAction>> = {
  1000: action(false, "unavailable", "closed by request"),
  1001: action(true, "unavailable", "server going away"),
  1002: action(false, "invalid-request", "protocol error"),
  1007: action(false, "invalid-request", "invalid UTF-8"),
  1009: action(false, "too-large", "message too big"),
  4400: action(false, "invalid-request", "bad message"),
  4401: action(true, "unauthorized", "token expired or revoked", { newToken: true }),
  4403: action(false, "forbidden", "forbidden"),
  4408: action(true, "unavailable", "too slow or no heartbeat"),
  4409: action(false, "rate-limited", "too many sessions"),
  4429: action(true, "rate-limited", "too many messages", { minDelayMs: 5_000 }),
  4500: action(true, "internal", "internal error"),
};

/**
 * Returns the reaction to any close code. Unknown codes follow their range, so that a new server code needs no client
 * release: 4400–4499 are client errors (no reconnect); the client reconnects after all others, such as a dropped
 * connection (1006).
 */
export function closeActionOf(code: number): CloseAction {
  const known = CLOSE_CODES[code];
  if (known) {
    return known;
  }
  return code >= 4400 && code < 4500
    ? action(false, "invalid-request", `refused (${code})`)
    : action(true, "unavailable", `connection lost (${code})`);
}
