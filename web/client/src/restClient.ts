import { SluiceError } from "./errors.js";
import type { Credits, Dataset, Estimate, Export, ExportPage, ExportRequest, Ticket } from "./protocol.js";
import { requestToken, type TokenProvider } from "./token.js";

/** Settings of {@link RestClient}. */
export interface RestOptions {
  /** Where the gateway answers, such as `https://exports.example.com`. */
  baseUrl: string;
  getToken: TokenProvider;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Deadline of one call, in milliseconds. Default 30 000; of downloads and event streams, until their bytes begin. */
  timeoutMs?: number;
}

/** Options of one call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

interface Call extends CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  /** The deadline ends with the head of the answer, and the body is left to the caller. */
  stream?: boolean;
  /** Added to the deadline, for long polls. */
  waitMs?: number;
  /** Statuses outside 2xx that the caller handles itself. */
  accept?: readonly number[];
}

/** The REST calls of the contract. Every rejection is a {@link SluiceError}. */
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

  /** The absolute URL of a path such as `/v1/exports`. */
  url(path: string): URL {
    return new URL(path.replace(/^\//, ""), this.#base);
  }

  /** What the caller may export. */
  async datasets(options: CallOptions = {}): Promise<Dataset[]> {
    return (await this.#json<{ items: Dataset[] }>("GET", "/v1/datasets", options)).items;
  }

  /** One dataset by name. */
  dataset(name: string, options: CallOptions = {}): Promise<Dataset> {
    return this.#json("GET", `/v1/datasets/${encodeURIComponent(name)}`, options);
  }

  /** Own exports, newest first; at most `limit` (1 to 200) of them. */
  exports(
    query: { status?: string; dataset?: string; limit?: number; cursor?: string } = {},
    options: CallOptions = {},
  ): Promise<ExportPage> {
    const search = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined) {
        search.set(key, String(value));
      }
    }
    const suffix = search.size > 0 ? `?${search}` : "";
    return this.#json("GET", `/v1/exports${suffix}`, options);
  }

  /** One export. `waitSeconds` long-polls until it ends or the time is over. */
  export(id: string, options: CallOptions & { waitSeconds?: number } = {}): Promise<Export> {
    const { waitSeconds, ...call } = options;
    return this.#json("GET", `/v1/exports/${encodeURIComponent(id)}`, {
      ...call,
      ...(waitSeconds
        ? { headers: { prefer: `wait=${waitSeconds}` }, waitMs: waitSeconds * 1000 }
        : undefined),
    });
  }

  /** Starts an export. The same key and body give the first answer again, so a retry is never charged twice. */
  createExport(
    request: ExportRequest,
    options: CallOptions & { idempotencyKey?: string } = {},
  ): Promise<Export> {
    const { idempotencyKey, ...call } = options;
    return this.#json("POST", "/v1/exports", {
      ...call,
      body: request,
      ...(idempotencyKey ? { headers: { "idempotency-key": idempotencyKey } } : undefined),
    });
  }

  /** What the same request would give and cost; costs nothing. */
  estimate(request: ExportRequest, options: CallOptions = {}): Promise<Estimate> {
    return this.#json("POST", "/v1/exports/estimate", { ...options, body: request });
  }

  /** Cancels an unfinished export; deletes the file of a finished one. */
  async cancel(id: string, options: CallOptions = {}): Promise<void> {
    const response = await this.call("DELETE", `/v1/exports/${encodeURIComponent(id)}`, options);
    await response.body?.cancel();
  }

  /** The CSVW metadata document of a completed export. */
  metadata(id: string, options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.#json("GET", `/v1/exports/${encodeURIComponent(id)}/metadata`, options);
  }

  /** The credit account. */
  credits(options: CallOptions = {}): Promise<Credits> {
    return this.#json("GET", "/v1/credits", options);
  }

  /** A single-use ticket for opening a socket from a browser. */
  ticket(options: CallOptions = {}): Promise<Ticket> {
    return this.#json("POST", "/v1/tickets", options);
  }

  /**
   * The bytes of a completed export from `offset`. With `etag` the range only holds for that very file;
   * otherwise the server answers `200` with the whole. Also gives back `416` for the caller to judge.
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

  /** The event stream of `GET /v1/events`, after the event of this id. */
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

  async #json<T>(method: string, path: string, call: Call): Promise<T> {
    const response = await this.call(method, path, call);
    try {
      return (await response.json()) as T;
    } catch (cause) {
      throw SluiceError.from(cause, "protocol");
    }
  }

  /** One call with the bearer token. A refused token is renewed once. */
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
    const signals: AbortSignal[] = [];
    if (call.signal) {
      signals.push(call.signal);
    }
    const head = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (call.stream) {
      signals.push(head.signal);
      const late = new DOMException("no answer in time", "TimeoutError");
      timer = setTimeout(() => head.abort(late), this.#timeoutMs);
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
