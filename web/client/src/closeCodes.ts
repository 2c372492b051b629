import type { ServerSlug } from "./errors.js";

/** What a close code tells a client to do. */
export interface CloseAdvice {
  /** Open the session again by itself? */
  retry: boolean;
  /** Ask for a new token before the next try. */
  newToken: boolean;
  /** Least wait before the next try, in milliseconds. */
  floorMs: number;
  /** The problem to show when there is no retry. */
  slug: ServerSlug;
  /** Short English description, for logs. */
  meaning: string;
}

const advice = (
  retry: boolean,
  slug: ServerSlug,
  meaning: string,
  more: Partial<CloseAdvice> = {},
): CloseAdvice => ({ retry, newToken: false, floorMs: 0, slug, meaning, ...more });

/** The close codes of `sluice.v1` and what each asks for. */
export const CLOSE_CODES: Readonly<Record<number, CloseAdvice>> = {
  1000: advice(false, "unavailable", "closed by request"),
  1001: advice(true, "unavailable", "server going away"),
  1009: advice(false, "too-large", "message too big"),
  4400: advice(false, "invalid-request", "bad message"),
  4401: advice(true, "unauthorized", "token expired or revoked", { newToken: true }),
  4403: advice(false, "forbidden", "forbidden"),
  4408: advice(true, "unavailable", "too slow or no heartbeat"),
  4409: advice(false, "rate-limited", "too many sessions"),
  4429: advice(true, "rate-limited", "too many messages", { floorMs: 5_000 }),
  4500: advice(true, "internal", "internal error"),
};

/**
 * Advice for any close code. Codes outside the table follow their range, so that a new server code needs no
 * client release: 4400–4499 blame the client (no retry); all others, such as a dropped connection (1006), retry.
 */
export function adviseClose(code: number): CloseAdvice {
  const known = CLOSE_CODES[code];
  if (known) {
    return known;
  }
  return code >= 4400 && code < 4500
    ? advice(false, "invalid-request", `refused (${code})`)
    : advice(true, "unavailable", `connection lost (${code})`);
}
