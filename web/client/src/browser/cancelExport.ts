import { Backoff, type BackoffOptions, delay } from "../backoff.js";
import type { SluiceClient } from "../client.js";
import { SluiceError } from "../errors.js";
import { TRANSIENT_SLUGS } from "../exports.js";
import { type Export, hasEnded } from "../protocol.js";

/** Upper bound of the delay between two attempts, in milliseconds: a user waits for the result. */
const MAX_DELAY_MS = 5_000;

/** Further slugs after which it is not known whether the server has an export, or after which a retry may succeed. */
const UNCLEAR_SLUGS: readonly string[] = [...TRANSIENT_SLUGS, "aborted", "idempotency-conflict"];

/** What {@link cancelExport} cancels. */
export interface Cancellation {
  /** The answer to the create request. */
  created: Promise<Export> | undefined;
  /** Repeats a create request whose answer was lost; its idempotency key returns the accepted export. */
  create: () => Promise<Export>;
  /** Returns whether the export must go on. */
  keep: (id: string) => boolean;
  /** Maximum duration, in milliseconds. */
  timeoutMs: number;
  backoff: BackoffOptions | undefined;
}

/**
 * Cancels an export, and retries while the server can't be reached. Returns the export when it goes on or had ended
 * before: canceling a completed export would delete its file.
 *
 * @throws SluiceError when the server has not confirmed the cancellation in time, or refuses it.
 */
export async function cancelExport(
  client: SluiceClient,
  { created, create, keep, timeoutMs, backoff }: Cancellation,
): Promise<Export | undefined> {
  const signal = AbortSignal.timeout(timeoutMs);
  const delays = new Backoff({ capMs: MAX_DELAY_MS, ...backoff });
  const timedOut = rejectOnAbort(signal); // a token provider knows no signal
  let accepted = created ?? create();
  const attempt = async () => {
    const { id } = await accepted;
    const current = await client.exports.get(id, { signal });
    if (hasEnded(current.status) || keep(id)) {
      return current;
    }
    await client.exports.cancel(id, { signal });
    return undefined;
  };
  for (;;) {
    try {
      return await Promise.race([attempt(), timedOut]);
    } catch (cause) {
      const error = SluiceError.from(cause);
      if (signal.aborted) {
        throw error;
      }
      const refused = await isRefused(accepted);
      if (refused || error.slug === "not-found") {
        return undefined;
      }
      if (!UNCLEAR_SLUGS.includes(error.slug)) {
        throw error;
      }
      await delay(delays.next(error.retryAfterMs), signal);
      accepted = accepted.catch(create);
    }
  }
}

/** Returns whether the server has refused the create request, so that there is no export. */
function isRefused(accepted: Promise<Export>): Promise<boolean> {
  return accepted.then(
    () => false,
    (cause) => {
      const { slug, status } = SluiceError.from(cause);
      return status >= 400 && slug !== "unauthorized" && !UNCLEAR_SLUGS.includes(slug);
    },
  );
}

/** Rejects when the signal is aborted, and never resolves. */
export function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const stopped = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  stopped.catch(() => undefined); // it may be aborted after the race
  return stopped;
}
