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

/** Window of a stream when the caller names none, in bytes. */
export const DEFAULT_WINDOW = 1024 * 1024;

/** How wide a window may grow for a sink that drains quickly, in bytes. */
export const DEFAULT_MAX_WINDOW = 8 * 1024 * 1024;

/** Settings of one download. */
export interface DownloadOptions {
  sink: Sink;
  /** First byte wanted; the sink already holds those before it. Default 0. */
  offset?: number | undefined;
  /** State of a SHA-256 over the bytes before `offset`, so that the whole can be checked. */
  hasher?: Hasher | undefined;
  /** The try that made the bytes before `offset`, as {@link onAttempt} received it: no others may follow them. */
  attempt?: number | undefined;
  /** Bytes granted at the start, and never fewer at once later. Default 1 MiB. */
  window?: number | undefined;
  /** Most bytes under way or waiting for the sink, however quickly it drains. Default 8 MiB. */
  maxWindow?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told after each write: position in the file. */
  onProgress?: ((received: number) => void) | undefined;
  /** Told when bytes come and when they stop coming, because the line or the server is away. */
  onStateChange?: ((state: TransferState) => void) | undefined;
  /** Told which try makes the bytes that follow. */
  onAttempt?: ((attempt: number) => void) | undefined;
  /** The server was asked to open the first stream by itself (`deliver: "stream"`). */
  announced?: boolean | undefined;
  /** `auto` (default) prefers the socket and falls back to HTTP Range requests. */
  transport?: "auto" | "rest" | undefined;
  /** Failures in a row without one new byte, after which it gives up. Default 10. */
  maxFailures?: number | undefined;
  /** How long no byte may come over HTTP before the line counts as dead, in milliseconds. Default 30 000. */
  idleTimeoutMs?: number | undefined;
  /**
   * How long `auto` waits for a live socket before it falls back, in milliseconds; one that comes while the
   * export is still running is used all the same. Default 5 000.
   */
  socketTimeoutMs?: number | undefined;
}

/** `receiving`: bytes come, or will as soon as they are made; `waiting`: interrupted, and tried again. */
export type TransferState = "receiving" | "waiting";

/** What a download works with. */
export interface DownloadDeps {
  session: Session;
  rest: RestClient;
  /** A SHA-256 of the platform's own, where it has one. */
  newHasher?: (() => Hasher) | undefined;
  backoff?: BackoffOptions | undefined;
}

/** Problems after which another try can't help. */
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

/** Failures in a row without one new byte, after which a download gives up unless its caller has more patience. */
const MAX_FAILURES = 10;

/** How long no byte may come over HTTP, in milliseconds. The server gives up a source that is silent sooner. */
const IDLE_TIMEOUT_MS = 30_000;

/** How often the state is asked for while an announced stream has not opened, in milliseconds. */
const STATUS_POLL_MS = 15_000;

/**
 * Brings one file to a sink: over the socket while there is one, over HTTP otherwise, going on at the exact
 * offset after every interruption, and beginning again at 0 only when the server says `restarted`.
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
  /** The try whose bytes are there already: no others may follow them. */
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
   * Runs to the verified end.
   *
   * @throws SluiceError the problem that ended it; nothing that the sink holds is then a whole file.
   */
  async run(): Promise<DownloadResult> {
    const off = this.#deps.session.messages.on((message: ServerMessage) => {
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
      off();
    }
  }

  async #runWithRetries(): Promise<DownloadResult> {
    let failures = 0;
    for (;;) {
      const before = this.#receiver.position;
      try {
        return await this.#transferOnce();
      } catch (cause) {
        const error = this.#error(cause);
        failures = this.#receiver.position > before ? 0 : failures + 1;
        if (error === this.#exportError || FINAL_SLUGS.includes(error.slug)) {
          throw error;
        }
        if (error.slug === "restarted") {
          await this.#receiver.restart();
          continue;
        }
        if (error.slug === "not-ready") {
          failures = 0; // the export lives, it only has no bytes yet
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

  /** Waits, but no longer than until the session is live again or somebody wants it tried at once. */
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
      for (const stop of subscriptions) {
        stop();
      }
    }
  }

  #setState(state: TransferState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#options.onStateChange?.(state);
    }
  }

  /** Bytes come from now on, made by this try where it is known. */
  #opened(attempt: number | undefined): void {
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
    this.#announced = false; // that stream has gone with its connection
    return (await this.#transferOverRest()) ?? this.#transferOnce();
  }

  /** `undefined` when a socket came meanwhile, and the export is still running: HTTP has none of its bytes yet. */
  async #transferOverRest(): Promise<DownloadResult | undefined> {
    const { rest, session } = this.#deps;
    const transfer = new RestTransfer(rest, this.#exportId, this.#receiver, {
      attempt: this.#bytesAttempt,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
      onOpen: (attempt) => this.#opened(attempt),
    });
    const preempted = new AbortController();
    const preemptIfLive = () => {
      if (session.connection && this.#options.transport !== "rest") {
        preempted.abort();
      }
    };
    const off = session.states.on(preemptIfLive);
    preemptIfLive();
    try {
      return await transfer.run(this.#signal, preempted.signal);
    } finally {
      off();
    }
  }

  /** The live connection, waiting a little for it; `undefined` says: use HTTP. */
  async #liveConnection(): Promise<Connection | undefined> {
    const { session } = this.#deps;
    const { transport, socketTimeoutMs = 5_000 } = this.#options;
    if (transport === "rest" || ["idle", "closed", "fallback"].includes(session.state.name)) {
      return undefined;
    }
    const patience = AbortSignal.timeout(socketTimeoutMs);
    try {
      await session.whenConnected(AbortSignal.any([this.#signal, patience]));
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
      return await this.#drain(stream);
    } finally {
      stream.close();
    }
  }

  async #open(connection: Connection): Promise<FileStream> {
    if (this.#announced) {
      this.#announced = false; // once: after an interruption the client asks by itself
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

  /** Waits for the stream that the server opens; `undefined` when it must be asked for after all. */
  async #awaitAnnouncedStream(connection: Connection): Promise<FileStream | undefined> {
    const { rest } = this.#deps;
    const decided = new AbortController();
    const waiting = AbortSignal.any([decided.signal, this.#signal]);
    const poll = async (): Promise<undefined> => {
      for (;;) {
        await delay(STATUS_POLL_MS, waiting);
        const current = await rest.export(this.#exportId, { signal: waiting });
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
    polling.catch(() => undefined); // judged by the race below, or stopped after it
    try {
      return await Promise.race([connection.streams.claim(this.#exportId, waiting), polling]);
    } finally {
      decided.abort();
    }
  }

  /** Takes everything a stream has, granting more as the sink drains. */
  async #drain(stream: FileStream): Promise<DownloadResult> {
    if (stream.offset !== this.#receiver.position) {
      throw new SluiceError({
        slug: "protocol",
        title: "Stream opened at another offset",
        detail: `${stream.offset} instead of ${this.#receiver.position}`,
      });
    }
    this.#opened(stream.attempt);
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

  /** The most that this session lets one message grant, in bytes. */
  #maxGrant(): number {
    const { state } = this.#deps.session;
    return state.name === "live" ? state.ready.limits.window_bytes : DEFAULT_WINDOW;
  }
}
