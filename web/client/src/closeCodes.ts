import type { ServerSlug } from "./errors.js";

/** What a close code tells a client to do. */
export interface CloseAction {
  /** Open the session again by itself? */
  retry: boolean;
  /** Ask for a new token before the next try. */
  newToken: boolean;
  /** Least wait before the next try, in milliseconds. */
  minDelayMs: number;
  /** The problem to show when there is no retry. */
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

/** The close codes of `sluice.v1` and what each asks for. */
export const CLOSE_CODES: Readonly<Record<number, CloseAction>> = {
  1000: action(false, "unavailable", "closed by request"),
  1001: action(true, "unavailable", "server going away"),
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
 * Advice for any close code. Codes outside the table follow their range, so that a new server code needs no
 * client release: 4400–4499 blame the client (no retry); all others, such as a dropped connection (1006), retry.
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
