import { Backoff, type BackoffOptions, delay } from "./backoff.js";
import type { WebSocketConstructor } from "./connection.js";
import { DEFAULT_WINDOW, Download, type DownloadOptions } from "./download.js";
import type { Unsubscribe } from "./emitter.js";
import { SluiceError } from "./errors.js";
import type {
  Credits,
  Dataset,
  Estimate,
  Export,
  ExportPage,
  ExportRequest,
  MessageOf,
  ServerMessage,
  SessionReady,
  Ticket,
} from "./protocol.js";
import type { DownloadResult } from "./receiver.js";
import { type CallOptions, RestClient } from "./rest.js";
import { Session, type SessionState } from "./session.js";
import { fixedToken, type TokenProvider } from "./token.js";

/** Settings of {@link SluiceClient}; give one of `token` and `getToken`. */
export interface SluiceClientOptions {
  /** Where the gateway answers, such as `https://exports.example.com`. */
  baseUrl: string;
  /** A bearer token that never changes. */
  token?: string;
  /** Gives the bearer token, and a newer one when asked. */
  getToken?: TokenProvider;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Default: the global `WebSocket`; on Node 20 pass the one of the `ws` package. */
  webSocket?: WebSocketConstructor;
  /** Bounds of the reconnect delay. */
  backoff?: BackoffOptions;
  /** Deadline of one socket request, in milliseconds. Default 15 000. */
  deadlineMs?: number;
}

/** How often a lost or still pending answer to a new export is asked for again. */
const START_RETRIES = 4;

/** An export that was accepted, and whether its bytes will come by themselves. */
export interface Started {
  export: Export;
  /** The server opens a stream by itself: pass it (and the same window) on as `announced` to {@link SluiceClient.download}. */
  announced: boolean;
}

/** The client of one person's session with a Sluice gateway. */
export class SluiceClient {
  readonly #rest: RestClient;
  readonly #session: Session;
  readonly #options: SluiceClientOptions;

  constructor(options: SluiceClientOptions) {
    const getToken = options.getToken ?? fixedToken(options.token ?? "");
    this.#options = options;
    this.#rest = new RestClient({
      baseUrl: options.baseUrl,
      getToken,
      ...(options.fetch ? { fetch: options.fetch } : undefined),
    });
    this.#session = new Session({
      rest: this.#rest,
      getToken,
      webSocket: options.webSocket,
      backoff: options.backoff,
      deadlineMs: options.deadlineMs,
    });
  }

  /** Opens the live session and keeps it open until {@link close}. Resolves when it is first ready. */
  connect(): Promise<SessionReady> {
    return this.#session.connect();
  }

  /** Ends the live session; REST calls still work. */
  close(): void {
    this.#session.close();
  }

  /** Reconnects at once instead of waiting for the next try, such as when the network is back. */
  retryNow(): void {
    this.#session.retryNow();
  }

  /** Where the live session stands. */
  get state(): SessionState {
    return this.#session.state;
  }

  /** Told every change of {@link state}. */
  onState(listener: (state: SessionState) => void): Unsubscribe {
    return this.#session.states.on(listener);
  }

  /** Told when events were lost, so that state must be fetched again by REST. */
  onResync(listener: () => void): Unsubscribe {
    return this.#session.resyncs.on(listener);
  }

  /** Told every message of one type. Numbered events come once each, also across reconnects. */
  on<T extends ServerMessage["type"]>(type: T, listener: (message: MessageOf<T>) => void): Unsubscribe {
    return this.#session.messages.on((message) => {
      if (message.type === type) {
        listener(message as MessageOf<T>);
      }
    });
  }

  /** What the caller may export. */
  datasets(options?: CallOptions): Promise<Dataset[]> {
    return this.#rest.datasets(options);
  }

  /** Own exports, newest first. */
  exports(query?: Parameters<RestClient["exports"]>[0], options?: CallOptions): Promise<ExportPage> {
    return this.#rest.exports(query, options);
  }

  /** One export; `waitSeconds` long-polls for its end. */
  export(id: string, options?: CallOptions & { waitSeconds?: number }): Promise<Export> {
    return this.#rest.export(id, options);
  }

  /** What a request would give and cost. */
  estimate(request: ExportRequest, options?: CallOptions): Promise<Estimate> {
    return this.#rest.estimate(request, options);
  }

  /** The credit account. */
  credits(options?: CallOptions): Promise<Credits> {
    return this.#rest.credits(options);
  }

  /** The CSVW metadata document of a completed export. */
  metadata(id: string, options?: CallOptions): Promise<Record<string, unknown>> {
    return this.#rest.metadata(id, options);
  }

  /** A single-use ticket for opening a socket. {@link connect} takes its own. */
  ticket(options?: CallOptions): Promise<Ticket> {
    return this.#rest.ticket(options);
  }

  /** Cancels an unfinished export; deletes the file of a finished one. */
  cancel(id: string, options?: CallOptions): Promise<void> {
    return this.#rest.cancel(id, options);
  }

  /**
   * Starts an export, over the socket when it is live. If the answer is lost on the way it is asked again over
   * REST with the same idempotency key, so that nothing runs or is charged twice.
   */
  async start(
    request: ExportRequest,
    options: {
      idempotencyKey?: string;
      deliver?: "notify" | "stream";
      window?: number;
      signal?: AbortSignal;
    } = {},
  ): Promise<Started> {
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
        );
        return { export: answer.export, announced: deliver === "stream" };
      } catch (cause) {
        const error = SluiceError.from(cause);
        if (error.slug !== "network" && error.slug !== "timeout") {
          throw error;
        }
      }
    }
    return { export: await this.#startByRest(request, idempotencyKey, options.signal), announced: false };
  }

  async #startByRest(request: ExportRequest, idempotencyKey: string, signal?: AbortSignal): Promise<Export> {
    const backoff = new Backoff(this.#options.backoff);
    for (;;) {
      try {
        return await this.#rest.createExport(request, { idempotencyKey, signal });
      } catch (cause) {
        const error = SluiceError.from(cause);
        const beingTaken = error.slug === "idempotency-conflict" && error.status === 409;
        if (backoff.attempt >= START_RETRIES || !(beingTaken || error.slug === "network")) {
          throw error;
        }
        await delay(backoff.next(error.retryAfterMs), signal);
      }
    }
  }

  /** Brings the file of an export to a sink, verified. Works while the export still runs. */
  download(exportId: string, options: DownloadOptions): Promise<DownloadResult> {
    const deps = { session: this.#session, rest: this.#rest, backoff: this.#options.backoff };
    return new Download(deps, exportId, options).run();
  }
}

/** 128 random bits in hex; unlike `crypto.randomUUID` also on pages without TLS. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
