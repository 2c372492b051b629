import type { BackoffOptions } from "./backoff.js";
import type { WebSocketConstructor } from "./connection.js";
import { Download, type DownloadOptions } from "./download.js";
import { type DownloadStream, toDownloadStream } from "./downloadStream.js";
import type { Unsubscribe } from "./emitter.js";
import { EventIterator } from "./eventIterator.js";
import { Exports } from "./exports.js";
import type { Credits, Dataset, MessageOf, ServerMessage, SluiceEvent } from "./protocol.js";
import { EVENT_TYPES } from "./protocol.js";
import type { DownloadResult, Hasher } from "./receiver.js";
import { type CallOptions, RestClient } from "./restClient.js";
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
  /** Default: the global `WebSocket`; Node 20 has none, so `@sluice/client/node` takes the one of the `ws` package. */
  webSocket?: WebSocketConstructor;
  /** Makes SHA-256 states. Default: one in JavaScript, as browsers can't hash a stream piece by piece. */
  newHasher?: () => Hasher;
  /** Bounds of the reconnect delay. */
  backoff?: BackoffOptions;
  /** Deadline of one socket request, in milliseconds. Default 15 000. */
  requestTimeoutMs?: number;
}

/**
 * Opens a session and keeps it open: resolves when events come, over a socket or, where none can be opened, over HTTP.
 *
 * @throws SluiceError such as `unauthorized`, when the gateway lets nobody in with this token.
 */
export async function connect(options: SluiceClientOptions): Promise<SluiceClient> {
  const client = new SluiceClient(options);
  await client.connect();
  return client;
}

/** The client of one person's session with a Sluice gateway. */
export class SluiceClient {
  /** The person's exports: create, list, get, cancel, estimate. */
  readonly exports: Exports;
  /** What may be exported. */
  readonly datasets: {
    list(options?: CallOptions): Promise<Dataset[]>;
    get(name: string, options?: CallOptions): Promise<Dataset>;
  };
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
      requestTimeoutMs: options.requestTimeoutMs,
    });
    this.exports = new Exports(this.#rest, this.#session, options.backoff);
    this.datasets = {
      list: (call) => this.#rest.datasets(call),
      get: (name, call) => this.#rest.dataset(name, call),
    };
  }

  /** Opens the live session and keeps it open until {@link close}. Resolves when events come. */
  connect(): Promise<SessionState> {
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
  onStateChange(listener: (state: SessionState) => void): Unsubscribe {
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

  /** The events from now on, for `for await`; of some types, or of all. Leaving the loop ends it, and so does {@link close}. */
  events<T extends SluiceEvent["type"] = SluiceEvent["type"]>(
    options: { types?: readonly T[]; signal?: AbortSignal } = {},
  ): EventIterator<T> {
    const types = options.types ?? (EVENT_TYPES as readonly string[] as readonly T[]);
    return new EventIterator(this.#session, types, options.signal);
  }

  /** The credit account. */
  credits(options?: CallOptions): Promise<Credits> {
    return this.#rest.credits(options);
  }

  /** Brings the file of an export to a sink, verified. Works while the export still runs. */
  download(exportId: string, options: DownloadOptions): Promise<DownloadResult> {
    const { backoff, newHasher } = this.#options;
    return new Download(
      { session: this.#session, rest: this.#rest, backoff, newHasher },
      exportId,
      options,
    ).run();
  }

  /**
   * The file of an export as a stream of bytes. It ends cleanly only after the seal, when size and digest are right, and
   * fails otherwise; a reader that stops reading stops the server too.
   */
  stream(exportId: string, options: Omit<DownloadOptions, "sink"> = {}): DownloadStream {
    return toDownloadStream(
      (sink, signal) => this.download(exportId, { ...options, sink, signal }),
      options.signal,
    );
  }
}
