import { Backoff, type BackoffOptions, delay } from "./backoff.js";
import type { Connection } from "./connection.js";
import { SluiceError } from "./errors.js";
import { exportError } from "./exportError.js";
import type { FileStream } from "./fileStreams.js";
import type { ServerMessage } from "./protocol.js";
import { type DownloadResult, type Hasher, Receiver, type Sink } from "./receiver.js";
import { ReceiveWindow } from "./receiveWindow.js";
import type { RestClient } from "./restClient.js";
import { RestTransfer } from "./restTransfer.js";
import type { Session } from "./session.js";

/** Default initial window of a stream, in bytes. */
export const DEFAULT_WINDOW = 1024 * 1024;

/** Default maximum window of a stream, in bytes. */
export const DEFAULT_MAX_WINDOW = 8 * 1024 * 1024;

/** Options of one download. */
export interface DownloadOptions {
  sink: Sink;
  /** Position of the first byte to fetch; the sink already has all earlier bytes. Default 0. */
  offset?: number | undefined;
  /** SHA-256 state over the bytes before `offset`. Without this state the download can't verify the digest. */
  hasher?: Hasher | undefined;
  /**
   * The export attempt that wrote the bytes before `offset`, as reported by {@link onAttempt}. Bytes of another attempt
   * never follow them.
   */
  attempt?: number | undefined;
  /** Initial window and lower bound of the window, in bytes. Default 1 MiB. */
  window?: number | undefined;
  /** Upper bound of the bytes in flight or waiting for the sink. Default 8 MiB. */
  maxWindow?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called after each write with the position in the file. */
  onProgress?: ((received: number) => void) | undefined;
  /** Called when the transfer is interrupted and when it continues. */
  onStateChange?: ((state: TransferState) => void) | undefined;
  /** Called with the export attempt that wrote the following bytes. */
  onAttempt?: ((attempt: number) => void) | undefined;
  /** The export was created with `deliver: "stream"`, so the server opens the first stream. */
  announced?: boolean | undefined;
  /** `auto` (default) prefers the WebSocket and falls back to HTTP Range requests. */
  transport?: "auto" | "rest" | undefined;
  /** Consecutive failures without a new byte after which the download fails. Default 10. */
  maxFailures?: number | undefined;
  /** Maximum time without a byte over HTTP before the connection counts as dead, in milliseconds. Default 30 000. */
  idleTimeoutMs?: number | undefined;
  /**
   * How long `auto` waits for a live WebSocket before it falls back to HTTP, in milliseconds. Default 5 000. A
   * WebSocket that opens later is still used while the export runs.
   */
  socketTimeoutMs?: number | undefined;
}

/**
 * `receiving`: bytes arrive, or will arrive as soon as they are written; `waiting`: the transfer is interrupted and
 * will be retried.
 */
export type TransferState = "receiving" | "waiting";

/** Dependencies of a {@link Download}. */
export interface DownloadDeps {
  session: Session;
  rest: RestClient;
  /** Creates SHA-256 states with the implementation of the platform, if the platform has one. */
  newHasher?: (() => Hasher) | undefined;
  backoff?: BackoffOptions | undefined;
}

/** Slugs of problems that a retry can't solve. */
const FINAL_SLUGS: readonly string[] = [
  "unauthorized",
  "forbidden",
  "not-found",
  "invalid-request",
  "expired",
  "canceled",
  "export-failed",
  "too-large",
  "digest-mismatch",
  "aborted",
  "sink",
  "no-room",
];

/** Default of {@link DownloadOptions.maxFailures}. */
const MAX_FAILURES = 10;

/** Default of {@link DownloadOptions.idleTimeoutMs}. Longer than the server's own timeout for a silent source. */
const IDLE_TIMEOUT_MS = 30_000;

/** How often the export's status is polled while the announced stream has not opened, in milliseconds. */
const STATUS_POLL_MS = 15_000;

/**
 * Downloads one file into a sink: over the WebSocket while that is live, over HTTP otherwise. It resumes at the exact
 * offset after every interruption, and starts again at 0 only when the server answers `restarted`.
 */
export class Download {
  readonly #deps: DownloadDeps;
  readonly #exportId: string;
  readonly #options: DownloadOptions;
  readonly #window: number;
  readonly #receiver: Receiver;
  readonly #backoff: Backoff;
  readonly #exportEnded = new AbortController();
  readonly #signal: AbortSignal;
  #announced: boolean;
  /** The export attempt that wrote the received bytes. The download never appends bytes of another attempt to them. */
  #bytesAttempt: number | undefined;
  #state: TransferState = "receiving";
  #exportError: SluiceError | undefined;

  constructor(deps: DownloadDeps, exportId: string, options: DownloadOptions) {
    this.#deps = deps;
    this.#exportId = exportId;
    this.#options = options;
    this.#window = options.window ?? DEFAULT_WINDOW;
    this.#receiver = new Receiver({
      sink: options.sink,
      offset: options.offset ?? 0,
      hasher: options.hasher,
      newHasher: deps.newHasher,
      onProgress: options.onProgress,
    });
    this.#bytesAttempt = options.attempt;
    this.#backoff = new Backoff(deps.backoff);
    this.#announced = options.announced ?? false;
    this.#signal = options.signal
      ? AbortSignal.any([options.signal, this.#exportEnded.signal])
      : this.#exportEnded.signal;
  }

  /**
   * Runs until the file is verified.
   *
   * @throws SluiceError the problem that ended the download. The sink then has no complete file.
   */
  async run(): Promise<DownloadResult> {
    const unsubscribe = this.#deps.session.messages.on((message: ServerMessage) => {
      if ("export" in message && message.export.id === this.#exportId) {
        this.#exportError = exportError(message.export);
        if (this.#exportError) {
          this.#exportEnded.abort();
        }
      }
    });
    try {
      return await this.#runWithRetries();
    } finally {
      unsubscribe();
    }
  }

  async #runWithRetries(): Promise<DownloadResult> {
    let failures = 0;
    for (;;) {
      const startPosition = this.#receiver.position;
      try {
        return await this.#transferOnce();
      } catch (cause) {
        const error = this.#error(cause);
        failures = this.#receiver.position > startPosition ? 0 : failures + 1;
        if (error === this.#exportError || FINAL_SLUGS.includes(error.slug)) {
          throw error;
        }
        if (error.slug === "restarted") {
          await this.#receiver.restart();
          continue;
        }
        if (error.slug === "not-ready") {
          failures = 0; // the export runs, but has no bytes yet
        } else if (failures >= (this.#options.maxFailures ?? MAX_FAILURES)) {
          throw error;
        }
        if (failures === 0) {
          this.#backoff.reset();
        }
        if (error.slug !== "not-ready") {
          this.#setState("waiting");
        }
        await this.#pause(this.#backoff.next(error.retryAfterMs)).catch((reason: unknown) => {
          throw this.#error(reason);
        });
      }
    }
  }

  #error(cause: unknown): SluiceError {
    if (this.#exportError) {
      return this.#exportError;
    }
    if (this.#options.signal?.aborted) {
      return new SluiceError({ slug: "aborted", title: "The download was stopped", cause });
    }
    return SluiceError.from(cause, "protocol");
  }

  /** Waits for `ms` milliseconds, or until the session is live again or the caller calls `retryNow`. */
  async #pause(ms: number): Promise<void> {
    const { session } = this.#deps;
    const wake = new AbortController();
    const subscriptions = [
      session.retries.on(() => wake.abort()),
      session.states.on((state) => (state.name === "live" ? wake.abort() : undefined)),
    ];
    try {
      await delay(ms, AbortSignal.any([this.#signal, wake.signal]));
    } catch (reason) {
      if (this.#signal.aborted) {
        throw reason;
      }
    } finally {
      for (const unsubscribe of subscriptions) {
        unsubscribe();
      }
    }
  }

  #setState(state: TransferState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#options.onStateChange?.(state);
    }
  }

  /** Reports that bytes arrive, and the export attempt that wrote them, if known. */
  #reportOpened(attempt: number | undefined): void {
    if (attempt !== undefined) {
      this.#bytesAttempt = attempt;
      this.#options.onAttempt?.(attempt);
    }
    this.#setState("receiving");
  }

  async #transferOnce(): Promise<DownloadResult> {
    this.#signal.throwIfAborted();
    const connection = await this.#liveConnection();
    if (connection) {
      return this.#transferOverSocket(connection);
    }
    this.#announced = false; // the announced stream was lost with its connection
    return (await this.#transferOverRest()) ?? this.#transferOnce();
  }

  /**
   * Returns `undefined` when a WebSocket opened while the export is still running: HTTP has no bytes of an unfinished
   * export.
   */
  async #transferOverRest(): Promise<DownloadResult | undefined> {
    const { rest, session } = this.#deps;
    const transfer = new RestTransfer(rest, this.#exportId, this.#receiver, {
      attempt: this.#bytesAttempt,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
      onOpen: (attempt) => this.#reportOpened(attempt),
    });
    const preempted = new AbortController();
    const preemptIfLive = () => {
      if (session.connection && this.#options.transport !== "rest") {
        preempted.abort();
      }
    };
    const unsubscribe = session.states.on(preemptIfLive);
    preemptIfLive();
    try {
      return await transfer.run(this.#signal, preempted.signal);
    } finally {
      unsubscribe();
    }
  }

  /** Waits a short time for the live connection. Returns `undefined` when the download must use HTTP. */
  async #liveConnection(): Promise<Connection | undefined> {
    const { session } = this.#deps;
    const { transport, socketTimeoutMs = 5_000 } = this.#options;
    if (transport === "rest" || ["idle", "closed", "fallback"].includes(session.state.name)) {
      return undefined;
    }
    const timeout = AbortSignal.timeout(socketTimeoutMs);
    try {
      await session.whenConnected(AbortSignal.any([this.#signal, timeout]));
    } catch (cause) {
      if (this.#signal.aborted) {
        throw cause;
      }
    }
    return session.connection;
  }

  async #transferOverSocket(connection: Connection): Promise<DownloadResult> {
    const stream = await this.#open(connection);
    try {
      return await this.#receiveStream(stream);
    } finally {
      stream.close();
    }
  }

  async #open(connection: Connection): Promise<FileStream> {
    if (this.#announced) {
      this.#announced = false; // only once: after an interruption the client opens the stream
      const stream = await this.#awaitAnnouncedStream(connection);
      if (stream) {
        return stream;
      }
    }
    const opened = await connection.request(
      {
        type: "file.open",
        export_id: this.#exportId,
        offset: this.#receiver.position,
        window: this.#window,
        ...(this.#bytesAttempt !== undefined && this.#receiver.position > 0
          ? { attempt: this.#bytesAttempt }
          : {}),
      },
      "file.opened",
      30_000,
    );
    const stream = connection.streams.take(opened.stream);
    if (!stream) {
      throw new SluiceError({ slug: "network", title: "The connection was lost" });
    }
    return stream;
  }

  /** Waits for the stream that the server opens. Returns `undefined` when the client must open it. */
  async #awaitAnnouncedStream(connection: Connection): Promise<FileStream | undefined> {
    const { rest } = this.#deps;
    const settled = new AbortController();
    const signal = AbortSignal.any([settled.signal, this.#signal]);
    const poll = async (): Promise<undefined> => {
      for (;;) {
        await delay(STATUS_POLL_MS, signal);
        const current = await rest.export(this.#exportId, { signal });
        const error = exportError(current);
        if (error) {
          throw error;
        }
        if (current.status === "completed") {
          return undefined;
        }
      }
    };
    const polling = poll();
    polling.catch(() => undefined); // the race below handles the error, or has stopped the poll
    try {
      return await Promise.race([connection.streams.claim(this.#exportId, signal), polling]);
    } finally {
      settled.abort();
    }
  }

  /** Writes the bytes of the stream to the sink, and extends the window when the sink has accepted bytes. */
  async #receiveStream(stream: FileStream): Promise<DownloadResult> {
    if (stream.offset !== this.#receiver.position) {
      throw new SluiceError({
        slug: "protocol",
        title: "Stream opened at another offset",
        detail: `${stream.offset} instead of ${this.#receiver.position}`,
      });
    }
    this.#reportOpened(stream.attempt);
    const { maxWindow = DEFAULT_MAX_WINDOW } = this.#options;
    const bounds = { min: this.#window, max: Math.min(maxWindow, this.#maxGrant()) };
    const window = new ReceiveWindow(stream.offset, bounds, Date.now());
    for (;;) {
      const item = await stream.next(this.#signal);
      switch (item.kind) {
        case "bytes": {
          const end = item.offset + item.payload.byteLength;
          if (!window.allows(end)) {
            throw new SluiceError({ slug: "protocol", title: "More bytes than granted" });
          }
          await this.#receiver.accept(item.offset, item.payload);
          const more = window.drained(end, Date.now());
          if (more > 0) {
            stream.grant(more);
          }
          break;
        }
        case "sealed":
          return this.#receiver.finish(item.seal);
        case "closed":
          throw item.message.problem
            ? SluiceError.fromProblem(item.message.problem)
            : new SluiceError({ slug: "unavailable", title: "The stream ended before its seal" });
        case "lost":
          throw new SluiceError({ slug: "network", title: "The connection was lost" });
      }
    }
  }

  /** Maximum window that this session allows in one message, in bytes. */
  #maxGrant(): number {
    const { state } = this.#deps.session;
    return state.name === "live" ? state.ready.limits.window_bytes : DEFAULT_WINDOW;
  }
}
