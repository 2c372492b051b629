import { Backoff, type BackoffOptions, delay } from "./backoff.js";
import { DEFAULT_WINDOW } from "./download.js";
import { SluiceError } from "./errors.js";
import type { Estimate, Export, ExportPage, ExportRequest } from "./protocol.js";
import { hasEnded } from "./protocol.js";
import type { CallOptions, RestClient } from "./restClient.js";
import type { Session } from "./session.js";

/** How often a lost or still pending answer to a new export is asked for again. */
const CREATE_RETRIES = 4;

/** Failures in a row after which nobody waits for an end any more, unless the caller has more patience. */
const MAX_FAILURES = 10;

/** Problems that are over after a while. */
const TRANSIENT_SLUGS: readonly string[] = ["network", "timeout", "unavailable", "internal", "rate-limited"];

/** Seconds of one long poll. */
const WAIT_SECONDS = 20;

/** An export that was accepted, and whether its bytes will come by themselves. */
export interface CreatedExport {
  export: Export;
  /** The server opens a stream by itself: pass it (and the same window) on as `announced` to `download`. */
  announced: boolean;
}

/** Options of {@link Exports.create}. */
export interface CreateOptions extends CallOptions {
  /** The same key and request give the same export, and take one credit. Default: a random one for each call. */
  idempotencyKey?: string;
  /** `stream` opens a file stream by itself as soon as there are bytes. Default `notify`. */
  deliver?: "notify" | "stream";
  /** The first window of that stream, bytes. Default 1 MiB. */
  window?: number;
}

/** Options of {@link Exports.waitForEnd}. */
export interface WaitOptions extends CallOptions {
  /** Failures in a row after which it gives up. Default 10. */
  maxFailures?: number;
}

/** Which exports to list. */
export interface ListQuery {
  status?: string;
  dataset?: string;
  /** 1 to 200; 50 when absent. */
  limit?: number;
  cursor?: string;
}

/** A person's exports. Every rejection is a {@link SluiceError}. */
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
   * Starts an export, over the socket when it is live. If the answer is lost on the way it is asked again over
   * REST with the same idempotency key, so that nothing runs or is charged twice. A signal ends the waiting; whether the
   * request has arrived by then, only its key can tell.
   */
  async create(request: ExportRequest, options: CreateOptions = {}): Promise<CreatedExport> {
    const idempotencyKey = options.idempotencyKey ?? randomKey();
    const deliver = options.deliver ?? "notify";
    if (this.#session.connection) {
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
    const created = await this.#createOverRest(request, idempotencyKey, options.signal);
    this.#session.pollNow();
    return { export: created, announced: false };
  }

  async #createOverRest(
    request: ExportRequest,
    idempotencyKey: string,
    signal?: AbortSignal,
  ): Promise<Export> {
    const backoff = new Backoff(this.#backoff);
    for (;;) {
      try {
        return await this.#rest.createExport(request, { idempotencyKey, signal });
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

  /** Own exports, newest first. Pass `next_cursor` on as `cursor` for the next page. */
  list(query?: ListQuery, options?: CallOptions): Promise<ExportPage> {
    return this.#rest.exports({ ...query }, options);
  }

  /** One export as it stands. */
  get(id: string, options?: CallOptions): Promise<Export> {
    return this.#rest.export(id, options);
  }

  /**
   * Waits for the end of an export, whichever it is, by long polling. A gateway that is away for a while is asked again.
   *
   * @throws SluiceError what is final, such as `not-found`, and the last of `maxFailures` failures in a row.
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
        waitSeconds = WAIT_SECONDS;
      } catch (cause) {
        const error = SluiceError.from(cause);
        if (!TRANSIENT_SLUGS.includes(error.slug) || backoff.attempt + 1 >= maxFailures) {
          throw error;
        }
        await this.#pause(backoff.next(error.retryAfterMs), signal);
      }
    }
  }

  /** Waits, but no longer than until somebody wants it tried at once. */
  async #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const wake = new AbortController();
    const off = this.#session.retries.on(() => wake.abort());
    try {
      await delay(ms, signal ? AbortSignal.any([signal, wake.signal]) : wake.signal);
    } catch (reason) {
      if (signal?.aborted) {
        throw SluiceError.from(reason, "aborted");
      }
    } finally {
      off();
    }
  }

  /** Cancels an unfinished export; deletes the file of a finished one. */
  cancel(id: string, options?: CallOptions): Promise<void> {
    return this.#rest.cancel(id, options);
  }

  /**
   * What the same request would give and cost, with its first rows; costs nothing. A gateway that can't tell
   * answers with status 404 or 405.
   */
  estimate(request: ExportRequest, options?: CallOptions): Promise<Estimate> {
    return this.#rest.estimate(request, options);
  }

  /** The CSVW metadata document of a completed export. */
  metadata(id: string, options?: CallOptions): Promise<Record<string, unknown>> {
    return this.#rest.metadata(id, options);
  }
}

/** 128 random bits in hex; unlike `crypto.randomUUID` also on pages without TLS. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
