import type { BackoffOptions } from "./backoff.js";
import type { WebSocketConstructor } from "./connection.js";
import { Download, type DownloadOptions } from "./download.js";
import { type DownloadStream, toDownloadStream } from "./downloadStream.js";
import type { Unsubscribe } from "./emitter.js";
import { EventIterator } from "./eventIterator.js";
import { Exports } from "./exports.js";
import { Operate } from "./operate.js";
import type {
  ApiKey,
  ApiKeyRequest,
  CreatedApiKey,
  Credits,
  Dataset,
  MessageOf,
  ServerMessage,
  SluiceEvent,
} from "./protocol.js";
import { EVENT_TYPES } from "./protocol.js";
import type { DownloadResult, Hasher } from "./receiver.js";
import { type CallOptions, RestClient } from "./restClient.js";
import { Session, type SessionState } from "./session.js";
import { fixedToken, sharedToken, type TokenProvider } from "./token.js";

/** Settings of {@link SluiceClient}. Set `token` or `getToken`. */
export interface SluiceClientOptions {
  /** Address of the gateway, such as `https://exports.example.com`. */
  baseUrl: string;
  /** A bearer token that never changes. */
  token?: string;
  /** Returns the bearer token, or a newer one when the client asks for a refresh. */
  getToken?: TokenProvider;
  /** The `fetch` to use. Default: the global `fetch`. */
  fetch?: typeof fetch;
  /**
   * The WebSocket class to use. Default: the global `WebSocket`. Node 20 has none; `@sluice/client/node` uses the `ws`
   * package.
   */
  webSocket?: WebSocketConstructor;
  /**
   * Creates SHA-256 states. Default: a JavaScript implementation, because Web Crypto can't hash a stream incrementally.
   */
  newHasher?: () => Hasher;
  /** Options of the reconnect delay. */
  backoff?: BackoffOptions;
  /** Timeout of one request over the WebSocket, in milliseconds. Default 15 000. */
  requestTimeoutMs?: number;
}

/**
 * Opens a session and keeps it open. Resolves when the client receives events, over a WebSocket or, where none can be
 * opened, over HTTP.
 *
 * @throws SluiceError such as `unauthorized`, when the gateway refuses the token.
 */
export async function connect(options: SluiceClientOptions): Promise<SluiceClient> {
  const client = new SluiceClient(options);
  await client.connect();
  return client;
}

/** A client of a Sluice gateway, for one user. */
export class SluiceClient {
  /** The user's exports: create, list, get, cancel, estimate. */
  readonly exports: Exports;
  /** The datasets that the user may export. */
  readonly datasets: {
    list(options?: CallOptions): Promise<Dataset[]>;
    get(name: string, options?: CallOptions): Promise<Dataset>;
  };
  /** The API keys of the user's tenant, with which programs use Sluice. All calls require the scope `keys:manage`. */
  readonly keys: {
    /** Lists all keys, newest first. */
    list(options?: CallOptions): Promise<ApiKey[]>;
    /** Creates a key with scopes that the user has. Only this answer contains the key itself, in `key`. */
    create(request: ApiKeyRequest, options?: CallOptions): Promise<CreatedApiKey>;
    /** Deletes a key and the keys that it created. Their sessions end. */
    delete(id: string, options?: CallOptions): Promise<void>;
  };
  /** The work of operators: finding, retrying and canceling exports of all tenants, and pausing owners. */
  readonly operate: Operate;
  readonly #rest: RestClient;
  readonly #session: Session;
  readonly #options: SluiceClientOptions;

  constructor(options: SluiceClientOptions) {
    const getToken = sharedToken(options.getToken ?? fixedToken(options.token ?? ""));
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
    this.operate = new Operate(this.#rest, this.#session);
    this.datasets = {
      list: (call) => this.#rest.datasets(call),
      get: (name, call) => this.#rest.dataset(name, call),
    };
    this.keys = {
      list: (call) => this.#listKeys(call),
      create: (request, call) => this.#rest.createKey(request, call),
      delete: (id, call) => this.#rest.deleteKey(id, call),
    };
  }

  /** Opens the live session and keeps it open until {@link close}. Resolves when the client receives events. */
  connect(): Promise<SessionState> {
    return this.#session.connect();
  }

  /** Closes the live session. REST calls still work. */
  close(): void {
    this.#session.close();
  }

  /** Retries at once instead of waiting for the next attempt, for example when the network is back. */
  retryNow(): void {
    this.#session.retryNow();
  }

  /** State of the live session. */
  get state(): SessionState {
    return this.#session.state;
  }

  /** Calls the listener on every change of {@link state}. */
  onStateChange(listener: (state: SessionState) => void): Unsubscribe {
    return this.#session.states.on(listener);
  }

  /** Calls the listener when events were lost, so that the application must fetch its state again by REST. */
  onResync(listener: () => void): Unsubscribe {
    return this.#session.resyncs.on(listener);
  }

  /**
   * Calls the listener for every message of one type. Each numbered event is delivered once, also across reconnects.
   */
  on<T extends ServerMessage["type"]>(type: T, listener: (message: MessageOf<T>) => void): Unsubscribe {
    return this.#session.messages.on((message) => {
      if (message.type === type) {
        listener(message as MessageOf<T>);
      }
    });
  }

  /**
   * Iterates over future events, of some types or of all, with `for await`. Leaving the loop or {@link close} ends the
   * iterator.
   */
  events<T extends SluiceEvent["type"] = SluiceEvent["type"]>(
    options: { types?: readonly T[]; signal?: AbortSignal } = {},
  ): EventIterator<T> {
    const types = options.types ?? (EVENT_TYPES as readonly string[] as readonly T[]);
    return new EventIterator(this.#session, types, options.signal);
  }

  /** Fetches the user's credit account. */
  credits(options?: CallOptions): Promise<Credits> {
    return this.#rest.credits(options);
  }

  async #listKeys(options?: CallOptions): Promise<ApiKey[]> {
    const keys: ApiKey[] = [];
    let cursor: string | null | undefined;
    do {
      const page = await this.#rest.keys({ limit: 200, ...(cursor ? { cursor } : undefined) }, options);
      keys.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor);
    return keys;
  }

  /** Downloads the file of an export into a sink and verifies its digest. Works while the export still runs. */
  download(exportId: string, options: DownloadOptions): Promise<DownloadResult> {
    const { backoff, newHasher } = this.#options;
    return new Download(
      { session: this.#session, rest: this.#rest, backoff, newHasher },
      exportId,
      options,
    ).run();
  }

  /**
   * Returns the file of an export as a stream of bytes. The stream ends without an error only after size and digest
   * match the seal; it fails otherwise. A reader that stops reading also stops the server (backpressure).
   */
  stream(exportId: string, options: Omit<DownloadOptions, "sink"> = {}): DownloadStream {
    return toDownloadStream(
      (sink, signal) => this.download(exportId, { ...options, sink, signal }),
      options.signal,
    );
  }
}
