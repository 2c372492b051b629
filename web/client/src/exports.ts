import { Backoff, type BackoffOptions, delay } from "./backoff.js";
import { DEFAULT_WINDOW } from "./download.js";
import { SluiceError } from "./errors.js";
import type { Estimate, Export, ExportPage, ExportRequest } from "./protocol.js";
import { hasEnded } from "./protocol.js";
import type { CallOptions, RestClient } from "./restClient.js";
import type { Session } from "./session.js";

/** Maximum number of retries of a create request whose answer was lost or is still pending. */
const CREATE_RETRIES = 4;

/** Default of {@link WaitOptions.maxFailures}. */
const MAX_FAILURES = 10;

/** Slugs of problems after which a retry may succeed. */
export const TRANSIENT_SLUGS: readonly string[] = [
  "network",
  "timeout",
  "unavailable",
  "internal",
  "rate-limited",
];

/** Duration of one long poll, in seconds. */
const LONG_POLL_SECONDS = 20;

/** The answer to {@link Exports.create}. */
export interface CreatedExport {
  export: Export;
  /** Whether the server opens a file stream. Pass this value and the same window to `download`. */
  announced: boolean;
}

/** Options of {@link Exports.create}. */
export interface CreateOptions extends CallOptions {
  /**
   * Requests with the same key and body return the same export and take one credit. Default: a random key for each
   * call.
   */
  idempotencyKey?: string;
  /** Called each time before the request is sent: from then on the server may have it. It may throw to stop the call. */
  onSend?: () => void;
  /** With `stream` the server opens a file stream as soon as the export has bytes. Default `notify`. */
  deliver?: "notify" | "stream";
  /** Initial window of the file stream, in bytes. Default 1 MiB. */
  window?: number;
}

/** Options of {@link Exports.waitForEnd}. */
export interface WaitOptions extends CallOptions {
  /** Number of consecutive failures after which the wait fails. Default 10. */
  maxFailures?: number;
}

/** Filter and page of an export list. */
export interface ListQuery {
  status?: string;
  dataset?: string;
  /** Page size, 1 to 200. Default 50. */
  limit?: number;
  cursor?: string;
}

/** The user's exports. Every rejection is a {@link SluiceError}. */
export class Exports {
  readonly #rest: RestClient;
  readonly #session: Session;
  readonly #backoff: BackoffOptions | undefined;

  constructor(rest: RestClient, session: Session, backoff?: BackoffOptions) {
    this.#rest = rest;
    this.#session = session;
    this.#backoff = backoff;
  }

  /**
   * Creates an export, over the WebSocket when that is live. When the answer is lost, the method retries over REST with
   * the same idempotency key, so that no export runs or is charged twice. An abort stops the wait; the server may have
   * received the request already.
   */
  async create(request: ExportRequest, options: CreateOptions = {}): Promise<CreatedExport> {
    const idempotencyKey = options.idempotencyKey ?? randomKey();
    const deliver = options.deliver ?? "notify";
    if (this.#session.connection) {
      options.onSend?.();
      try {
        const answer = await this.#session.request(
          {
            type: "export.create",
            ...request,
            idempotency_key: idempotencyKey,
            deliver,
            ...(deliver === "stream" ? { window: options.window ?? DEFAULT_WINDOW } : undefined),
          },
          "export.accepted",
          options.signal,
        );
        return { export: answer.export, announced: deliver === "stream" };
      } catch (cause) {
        const error = SluiceError.from(cause);
        if (options.signal?.aborted || (error.slug !== "network" && error.slug !== "timeout")) {
          throw error;
        }
      }
    }
    const created = await this.#createOverRest(request, { ...options, idempotencyKey });
    this.#session.pollNow();
    return { export: created, announced: false };
  }

  async #createOverRest(
    request: ExportRequest,
    options: CreateOptions & { idempotencyKey: string },
  ): Promise<Export> {
    const { idempotencyKey, signal, onSend } = options;
    const backoff = new Backoff(this.#backoff);
    for (;;) {
      try {
        return await this.#rest.createExport(request, { idempotencyKey, signal, onSend });
      } catch (cause) {
        const error = SluiceError.from(cause);
        const inProgress = error.slug === "idempotency-conflict" && error.status === 409;
        if (backoff.attempt >= CREATE_RETRIES || !(inProgress || error.slug === "network")) {
          throw error;
        }
        await delay(backoff.next(error.retryAfterMs), signal);
      }
    }
  }

  /** Lists the user's exports, newest first. Pass `next_cursor` as `cursor` to get the next page. */
  list(query?: ListQuery, options?: CallOptions): Promise<ExportPage> {
    return this.#rest.exports({ ...query }, options);
  }

  /** Fetches the current state of one export. */
  get(id: string, options?: CallOptions): Promise<Export> {
    return this.#rest.export(id, options);
  }

  /**
   * Waits by long polling until the export has ended with any status. Retries when the gateway is unavailable.
   *
   * @throws SluiceError a problem that no retry can solve, such as `not-found`, or the last of `maxFailures`
   *   consecutive failures.
   */
  async waitForEnd(id: string, options: WaitOptions = {}): Promise<Export> {
    const { signal, maxFailures = MAX_FAILURES } = options;
    const backoff = new Backoff(this.#backoff);
    let waitSeconds = 0;
    for (;;) {
      try {
        const current = await this.#rest.export(id, { signal, waitSeconds });
        if (hasEnded(current.status)) {
          return current;
        }
        backoff.reset();
        waitSeconds = LONG_POLL_SECONDS;
      } catch (cause) {
        const error = SluiceError.from(cause);
        if (!TRANSIENT_SLUGS.includes(error.slug) || backoff.attempt + 1 >= maxFailures) {
          throw error;
        }
        await this.#pause(backoff.next(error.retryAfterMs), signal);
      }
    }
  }

  /** Waits for `ms` milliseconds, or until the caller calls `retryNow`. */
  async #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const wake = new AbortController();
    const unsubscribe = this.#session.retries.on(() => wake.abort());
    try {
      await delay(ms, signal ? AbortSignal.any([signal, wake.signal]) : wake.signal);
    } catch (reason) {
      if (signal?.aborted) {
        throw SluiceError.from(reason, "aborted");
      }
    } finally {
      unsubscribe();
    }
  }

  /** Cancels an unfinished export, or deletes the file of a completed one. */
  cancel(id: string, options?: CallOptions): Promise<void> {
    return this.#rest.cancel(id, options);
  }

  /**
   * Estimates size, duration and cost of a request, with its first rows, free of charge. A gateway without estimates
   * answers with status 404 or 405.
   */
  estimate(request: ExportRequest, options?: CallOptions): Promise<Estimate> {
    return this.#rest.estimate(request, options);
  }

  /** Fetches the CSVW metadata document of a completed export. */
  metadata(id: string, options?: CallOptions): Promise<Record<string, unknown>> {
    return this.#rest.metadata(id, options);
  }
}

/** Returns 128 random bits in hex. `crypto.randomUUID` exists only on pages with TLS. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
