import { SluiceError } from "./errors.js";
import type {
  ApiKeyPage,
  ApiKeyRequest,
  CreatedApiKey,
  Credits,
  Dataset,
  Estimate,
  Export,
  ExportPage,
  ExportRequest,
  Ticket,
} from "./protocol.js";
import { requestToken, type TokenProvider } from "./token.js";

/** Settings of {@link RestClient}. */
export interface RestOptions {
  /** Address of the gateway, such as `https://exports.example.com`. */
  baseUrl: string;
  getToken: TokenProvider;
  /** The `fetch` to use. Default: the global `fetch`. */
  fetch?: typeof fetch;
  /**
   * Timeout of one call, in milliseconds. Default 30 000. Downloads and event streams: until the response headers.
   */
  timeoutMs?: number;
}

/** Options of one call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

interface Call extends CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  /**
   * Whether the caller reads the body as a stream. The timeout then covers only the wait for the response headers.
   */
  stream?: boolean;
  /** Added to the timeout for long polls, in milliseconds. */
  waitMs?: number;
  /** Called each time before the call is sent, with the token at hand. It may throw to stop the call. */
  onSend?: (() => void) | undefined;
  /** Statuses outside 2xx that the caller handles. */
  accept?: readonly number[];
}

/** The REST API of the gateway. Every rejection is a {@link SluiceError}. */
export class RestClient {
  readonly #base: URL;
  readonly #getToken: TokenProvider;
  readonly #fetch: typeof fetch;
  readonly #timeoutMs: number;

  constructor(options: RestOptions) {
    this.#base = new URL(options.baseUrl.endsWith("/") ? options.baseUrl : `${options.baseUrl}/`);
    this.#getToken = options.getToken;
    this.#fetch = options.fetch ?? fetch.bind(globalThis);
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /** Returns the absolute URL of a path such as `/v1/exports`. */
  url(path: string): URL {
    return new URL(path.replace(/^\//, ""), this.#base);
  }

  /** Lists the datasets that the user may export. */
  async datasets(options: CallOptions = {}): Promise<Dataset[]> {
    return (await this.json<{ items: Dataset[] }>("GET", "/v1/datasets", options)).items;
  }

  /** Fetches one dataset by name. */
  dataset(name: string, options: CallOptions = {}): Promise<Dataset> {
    return this.json("GET", `/v1/datasets/${encodeURIComponent(name)}`, options);
  }

  /** Lists the user's exports, newest first; at most `limit` (1 to 200). */
  exports(
    query: { status?: string; dataset?: string; limit?: number; cursor?: string } = {},
    options: CallOptions = {},
  ): Promise<ExportPage> {
    return this.json("GET", `/v1/exports${search(query)}`, options);
  }

  /**
   * Fetches one export. With `waitSeconds` the server answers when the export has ended or the time is over (long
   * poll).
   */
  export(id: string, options: CallOptions & { waitSeconds?: number } = {}): Promise<Export> {
    const { waitSeconds, ...call } = options;
    return this.json("GET", `/v1/exports/${encodeURIComponent(id)}`, {
      ...call,
      ...(waitSeconds
        ? { headers: { prefer: `wait=${waitSeconds}` }, waitMs: waitSeconds * 1000 }
        : undefined),
    });
  }

  /**
   * Creates an export. Requests with the same key and body return the same export, so that a retry is never charged
   * twice.
   */
  createExport(
    request: ExportRequest,
    options: CallOptions & { idempotencyKey?: string; onSend?: (() => void) | undefined } = {},
  ): Promise<Export> {
    const { idempotencyKey, ...call } = options;
    return this.json("POST", "/v1/exports", {
      ...call,
      body: request,
      ...(idempotencyKey ? { headers: { "idempotency-key": idempotencyKey } } : undefined),
    });
  }

  /** Estimates size, duration and cost of a request, free of charge. */
  estimate(request: ExportRequest, options: CallOptions = {}): Promise<Estimate> {
    return this.json("POST", "/v1/exports/estimate", { ...options, body: request });
  }

  /** Cancels an unfinished export, or deletes the file of a completed one. */
  async cancel(id: string, options: CallOptions = {}): Promise<void> {
    const response = await this.call("DELETE", `/v1/exports/${encodeURIComponent(id)}`, options);
    await response.body?.cancel();
  }

  /** Fetches the CSVW metadata document of a completed export. */
  metadata(id: string, options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.json("GET", `/v1/exports/${encodeURIComponent(id)}/metadata`, options);
  }

  /** Fetches the user's credit account. */
  credits(options: CallOptions = {}): Promise<Credits> {
    return this.json("GET", "/v1/credits", options);
  }

  /** Lists API keys of the user's tenant, newest first; at most `limit` (1 to 200). Requires the scope `keys:manage`. */
  keys(query: { limit?: number; cursor?: string } = {}, options: CallOptions = {}): Promise<ApiKeyPage> {
    return this.json("GET", `/v1/keys${search(query)}`, options);
  }

  /** Creates an API key. Only this answer contains the key itself. Requires the scope `keys:manage`. */
  createKey(request: ApiKeyRequest, options: CallOptions = {}): Promise<CreatedApiKey> {
    return this.json("POST", "/v1/keys", { ...options, body: request });
  }

  /** Deletes an API key and the keys that it created. Requires the scope `keys:manage`. */
  async deleteKey(id: string, options: CallOptions = {}): Promise<void> {
    await this.call("DELETE", `/v1/keys/${encodeURIComponent(id)}`, options);
  }

  /** Fetches a single-use ticket that authenticates a WebSocket. */
  ticket(options: CallOptions = {}): Promise<Ticket> {
    return this.json("POST", "/v1/tickets", options);
  }

  /**
   * Fetches the bytes of a completed export from `offset`. With `etag` the range applies only to that version of the
   * file; otherwise the server answers `200` with the whole file. Also returns a `416` response.
   */
  file(
    id: string,
    options: CallOptions & { offset?: number; etag?: string | undefined } = {},
  ): Promise<Response> {
    const headers: Record<string, string> = {};
    if (options.offset) {
      headers.range = `bytes=${options.offset}-`;
      if (options.etag) {
        headers["if-range"] = options.etag;
      }
    }
    return this.call("GET", `/v1/exports/${encodeURIComponent(id)}/file`, {
      signal: options.signal,
      headers,
      stream: true,
      accept: [416],
    });
  }

  /** Opens the event stream `GET /v1/events` after the event with this id. */
  events(options: CallOptions & { lastEventId?: string } = {}): Promise<Response> {
    return this.call("GET", "/v1/events", {
      signal: options.signal,
      headers: {
        accept: "text/event-stream",
        ...(options.lastEventId ? { "last-event-id": options.lastEventId } : undefined),
      },
      stream: true,
    });
  }

  /** Sends a request, and returns the JSON of the answer. */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const response = await this.call(method, path, call);
    try {
      return (await response.json()) as T;
    } catch (cause) {
      throw SluiceError.from(cause, "protocol");
    }
  }

  /** Sends a request with the bearer token. Refreshes a refused token once. */
  async call(method: string, path: string, call: Call = {}): Promise<Response> {
    const token = await requestToken(this.#getToken, { refresh: false });
    const response = await this.#send(method, path, call, token);
    if (response.status !== 401) {
      return this.#check(response, call);
    }
    const renewed = await requestToken(this.#getToken, { refresh: true });
    if (renewed === token) {
      return this.#check(response, call);
    }
    await response.body?.cancel();
    return this.#check(await this.#send(method, path, call, renewed), call);
  }

  async #check(response: Response, call: Call): Promise<Response> {
    if (response.ok || call.accept?.includes(response.status)) {
      return response;
    }
    throw await SluiceError.fromResponse(response);
  }

  async #send(method: string, path: string, call: Call, token: string): Promise<Response> {
    if (call.signal?.aborted) {
      throw SluiceError.from(call.signal.reason, "aborted"); // aborted while the token was awaited
    }
    call.onSend?.();
    const signals: AbortSignal[] = [];
    if (call.signal) {
      signals.push(call.signal);
    }
    const head = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (call.stream) {
      signals.push(head.signal);
      const timeout = new DOMException("no answer in time", "TimeoutError");
      timer = setTimeout(() => head.abort(timeout), this.#timeoutMs);
    } else {
      signals.push(AbortSignal.timeout(this.#timeoutMs + (call.waitMs ?? 0)));
    }
    try {
      return await this.#fetch(this.url(path), {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          accept: call.stream ? "*/*" : "application/json, application/problem+json",
          ...(call.body === undefined ? undefined : { "content-type": "application/json" }),
          ...call.headers,
        },
        ...(call.body === undefined ? undefined : { body: JSON.stringify(call.body) }),
        signal: AbortSignal.any(signals),
        cache: "no-store",
        credentials: "omit",
      });
    } catch (cause) {
      throw SluiceError.from(cause);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Returns the query of a URL, with its `?`. Omits undefined values; empty without any value. */
export function search(query: object): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) {
      parameters.set(key, String(value));
    }
  }
  return parameters.size > 0 ? `?${parameters}` : "";
}
