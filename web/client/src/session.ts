import { Backoff, type BackoffOptions, delay, HEALTHY_MS } from "./backoff.js";
import { type CloseAction, closeActionOf } from "./closeCodes.js";
import { type CloseInfo, Connection, connectionLost, type WebSocketConstructor } from "./connection.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { SluiceError } from "./errors.js";
import { type EventTransport, HttpEvents, type HttpEventsListener } from "./httpEvents.js";
import type { ClientMessage, MessageOf, ServerMessage, SessionReady, SessionResumed } from "./protocol.js";
import { type EventPosition, ReplayCursor } from "./replayCursor.js";
import type { RestClient } from "./restClient.js";
import { requestToken, type TokenProvider } from "./token.js";

/**
 * Number of consecutive WebSockets without `session.ready` after which the session falls back to HTTP, if the gateway
 * answers HTTP.
 */
const MAX_BLOCKED_SOCKETS = 3;

/**
 * State of the session. `fallback`: the gateway answers, but no WebSocket can be opened, so events come over HTTP until
 * one can. `closed` is final until `connect` is called again.
 */
export type SessionState =
  | { name: "idle" }
  | { name: "connecting"; attempt: number }
  | { name: "live"; ready: SessionReady }
  | { name: "fallback"; transport: EventTransport }
  | { name: "reconnecting"; attempt: number; retryAt: number; reason: string }
  | { name: "closed"; error: SluiceError | undefined };

/** Settings of {@link Session}. */
export interface SessionOptions {
  rest: RestClient;
  getToken: TokenProvider;
  /** The WebSocket class to use. Default: the global `WebSocket`. */
  webSocket?: WebSocketConstructor | undefined;
  backoff?: BackoffOptions | undefined;
  /** Maximum wait for `session.ready`, in milliseconds. Default 10 000. */
  readyTimeoutMs?: number | undefined;
  /** Timeout of one request, in milliseconds. Default 15 000. */
  requestTimeoutMs?: number | undefined;
}

/** Keeps one live connection open: fetches tickets, reconnects, requests missed events, and refreshes the token. */
export class Session {
  /** Emits every server message, without duplicates of numbered events. */
  readonly messages = new Emitter<ServerMessage>();
  readonly states = new Emitter<SessionState>();
  /** Emits when the caller calls `retryNow`. */
  readonly retries = new Emitter<void>();
  /** Emits when events were lost: the application must fetch its state again. */
  readonly resyncs = new Emitter<void>();
  readonly #options: SessionOptions;
  readonly #backoff: Backoff;
  readonly #cursor = new ReplayCursor();
  #state: SessionState = { name: "idle" };
  #connection: Connection | undefined;
  #stop: AbortController | undefined;
  #wake: AbortController | undefined;
  /** State during the delay before the next WebSocket; `undefined` at other times. */
  #pendingReconnect: Extract<SessionState, { name: "reconnecting" }> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  /** Number of consecutive WebSockets without `session.ready`. */
  #blockedSockets = 0;
  #httpEvents: { events: HttpEvents; stop: AbortController } | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff);
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The live connection; `undefined` in every other state. */
  get connection(): Connection | undefined {
    return this.#state.name === "live" ? this.#connection : undefined;
  }

  /** Starts the session, unless it is running, and waits until events arrive over any transport. */
  async connect(): Promise<SessionState> {
    if (this.#state.name === "idle" || this.#state.name === "closed") {
      this.#stop = new AbortController();
      this.#backoff.reset();
      this.#setState({ name: "connecting", attempt: 0 });
      void this.#reconnectLoop(this.#stop.signal);
    }
    return this.#waitFor(isConnected);
  }

  /** Closes the session and its connection, until the next {@link connect}. */
  close(): void {
    this.#stop?.abort();
    this.#endFallback();
    clearTimeout(this.#refreshTimer);
    this.#connection?.close(1000, "closed by the client");
    if (this.#state.name !== "closed") {
      this.#setState({ name: "closed", error: undefined });
    }
  }

  /** Skips the current delay, for example when the network is back. */
  retryNow(): void {
    this.#wake?.abort();
    this.#httpEvents?.events.pollNow();
    this.retries.emit();
  }

  /** Sends a message that has no direct answer. Returns false when no connection is live. */
  send(message: ClientMessage): boolean {
    return this.connection?.send(message) ?? false;
  }

  /** Polls at once, if events come by polling, because this client has just created an export. */
  pollNow(): void {
    this.#httpEvents?.events.pollNow();
  }

  /**
   * Waits until a WebSocket is live or the HTTP fallback delivers events. Rejects when the session is closed or the
   * signal aborted.
   */
  whenConnected(signal?: AbortSignal): Promise<SessionState> {
    return this.#waitFor(isConnected, signal);
  }

  #waitFor(matches: (state: SessionState) => boolean, signal?: AbortSignal): Promise<SessionState> {
    return new Promise((resolve, reject) => {
      let unsubscribe: Unsubscribe = () => undefined;
      const onAbort = () => finish(() => reject(SluiceError.from(signal?.reason, "aborted")));
      const finish = (settle: () => void) => {
        unsubscribe();
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const check = (state: SessionState) => {
        if (matches(state)) {
          finish(() => resolve(state));
        } else if (state.name === "closed" || state.name === "idle") {
          const error = state.name === "closed" ? state.error : undefined;
          finish(() => reject(error ?? connectionLost("the session is closed")));
        }
      };
      if (signal?.aborted) {
        onAbort();
        return;
      }
      unsubscribe = this.states.on(check);
      signal?.addEventListener("abort", onAbort, { once: true });
      check(this.#state);
    });
  }

  /**
   * Sends a request on the live connection. Rejects with `network` when there is none, with `aborted` when the caller
   * aborts.
   */
  async request<T extends ServerMessage["type"]>(
    message: ClientMessage,
    answer: T,
    signal?: AbortSignal,
  ): Promise<MessageOf<T>> {
    if (!this.connection) {
      throw connectionLost("not connected");
    }
    return this.connection.request(message, answer, this.#options.requestTimeoutMs ?? 15_000, signal);
  }

  async #reconnectLoop(stop: AbortSignal): Promise<void> {
    let newToken = false;
    while (!stop.aborted) {
      const { action, reason, error } = await this.#connectOnce(newToken, stop);
      if (stop.aborted) {
        return; // another run may own the connection now
      }
      this.#cursor.disconnected();
      clearTimeout(this.#refreshTimer);
      this.#connection = undefined;
      if (!action.retry) {
        this.#endFallback();
        const title = action.meaning;
        this.#setState({
          name: "closed",
          error: error ?? new SluiceError({ slug: action.slug, title, detail: reason }),
        });
        return;
      }
      newToken = action.newToken;
      await this.#waitBeforeReconnect(action.minDelayMs, reason, stop);
    }
  }

  /** Opens one connection and waits for its end. */
  async #connectOnce(
    newToken: boolean,
    stop: AbortSignal,
  ): Promise<{ action: CloseAction; reason: string; error?: SluiceError }> {
    let ticket: string;
    try {
      if (newToken) {
        await requestToken(this.#options.getToken, { refresh: true });
      }
      ticket = (await this.#options.rest.ticket({ signal: stop })).ticket;
    } catch (cause) {
      const error = SluiceError.from(cause);
      const final = ["unauthorized", "forbidden", "not-found", "invalid-request"].includes(error.slug);
      const action = { ...closeActionOf(1006), retry: !final, minDelayMs: error.retryAfterMs ?? 0 };
      this.#endFallback(); // HTTP fails as well
      return { action, reason: error.message, error };
    }
    let readyAt: number | undefined;
    let connection: Connection;
    try {
      connection = this.#openConnection(ticket, () => {
        readyAt = Date.now();
      });
    } catch (cause) {
      // the class is missing or forbidden by a policy: same as a blocked WebSocket
      this.#countBlockedSocket(stop);
      return { action: closeActionOf(1006), reason: SluiceError.from(cause).message };
    }
    this.#connection = connection;
    if (stop.aborted) {
      connection.close(1000, "closed by the client");
    }
    const closed: CloseInfo = await connection.closed;
    if (readyAt !== undefined && Date.now() - readyAt >= HEALTHY_MS) {
      this.#backoff.reset();
    }
    if (readyAt === undefined) {
      this.#countBlockedSocket(stop);
    } else {
      this.#blockedSockets = 0;
    }
    const action = closeActionOf(closed.code);
    return { action, reason: closed.reason || action.meaning };
  }

  #openConnection(ticket: string, onReady: () => void): Connection {
    const url = this.#options.rest.url("/v1/ws");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const connection: Connection = new Connection({
      url: url.href,
      ticket,
      webSocket: this.#options.webSocket ?? WebSocket,
      readyTimeoutMs: this.#options.readyTimeoutMs ?? 10_000,
      onReady: (ready) => {
        onReady();
        this.#handleReady(connection, ready);
      },
      onMessage: (message) => {
        if (message.type === "session.resumed") {
          this.#handleResumed(message);
        }
        this.#receive(message);
      },
    });
    return connection;
  }

  #countBlockedSocket(stop: AbortSignal): void {
    this.#blockedSockets += 1;
    if (this.#blockedSockets >= MAX_BLOCKED_SOCKETS && !stop.aborted) {
      this.#startFallback();
    }
  }

  #startFallback(): void {
    if (this.#httpEvents) {
      return;
    }
    const stop = new AbortController();
    this.#cursor.disconnected();
    const resumeAfter = this.#cursor.position;
    let connectedAt = Number.POSITIVE_INFINITY;
    const listener: HttpEventsListener = {
      onMessage: (message, position) => {
        const lost = message.type === "session.resumed" && !message.recovered;
        if (position && (lost || this.#cursor.position?.epoch !== position.epoch)) {
          this.#cursor.restart(position);
        }
        if (lost) {
          this.resyncs.emit();
        }
        this.#receive(message);
      },
      onConnected: (transport) => {
        connectedAt = Math.min(connectedAt, Date.now());
        if (stop.signal.aborted || (this.#state.name === "fallback" && this.#state.transport === transport)) {
          return;
        }
        this.#setState({ name: "fallback", transport });
        if (transport === "polling" && resumeAfter) {
          this.resyncs.emit(); // events before the first poll are lost
        }
      },
    };
    const events = new HttpEvents(this.#options.rest, listener, resumeAfter, this.#options.backoff);
    this.#httpEvents = { events, stop };
    events.run(stop.signal).catch(() => {
      if (this.#httpEvents?.events !== events) {
        return;
      }
      this.#httpEvents = undefined; // the next blocked WebSocket starts a new fallback
      if (this.#state.name === "fallback") {
        // no events arrive until the next attempt
        this.#setState(this.#pendingReconnect ?? { name: "connecting", attempt: this.#backoff.attempt });
      }
      if (Date.now() - connectedAt >= HEALTHY_MS) {
        // checks at once whether the gateway still answers; a fallback that fails at once keeps the backoff
        this.#backoff.reset();
        this.#wake?.abort();
      }
    });
  }

  #endFallback(): void {
    this.#httpEvents?.stop.abort();
    this.#httpEvents = undefined;
  }

  #handleReady(connection: Connection, ready: SessionReady): void {
    this.#endFallback();
    const { epoch, seq } = ready;
    const resumeAfter = this.#cursor.position;
    this.#scheduleRefresh(connection, ready.token_expires_at);
    if (resumeAfter) {
      this.#cursor.beginReplay({ epoch, seq });
      void this.#resume(connection, { ...resumeAfter });
    } else {
      this.#cursor.restart({ epoch, seq });
    }
    this.#setState({ name: "live", ready });
    this.messages.emit(ready);
  }

  async #resume(connection: Connection, resumeAfter: EventPosition): Promise<void> {
    try {
      await connection.request({ type: "session.resume", ...resumeAfter }, "session.resumed", 15_000);
    } catch (cause) {
      // after a lost connection the next one resumes from the same position; after any other error no resume is
      // possible
      if (SluiceError.from(cause).slug !== "network" && connection === this.connection) {
        this.#cursor.abandonReplay();
        this.resyncs.emit();
      }
    }
  }

  /** Handles the answer synchronously, because the missed events may follow at once. */
  #handleResumed(answer: SessionResumed): void {
    if (answer.recovered) {
      this.#cursor.expectReplay(answer.replayed);
    } else {
      this.#cursor.abandonReplay();
      this.resyncs.emit();
    }
  }

  #receive(message: ServerMessage): void {
    if (
      "seq" in message &&
      message.seq > 0 &&
      message.type !== "session.ready" &&
      !this.#cursor.accept(message.seq)
    ) {
      return;
    }
    this.messages.emit(message);
  }

  /**
   * Schedules a token refresh one minute before expiry, or at four fifths of a short lifetime. An API key may have no
   * expiry (null).
   */
  #scheduleRefresh(connection: Connection, expiresAt: string | null | undefined): void {
    clearTimeout(this.#refreshTimer);
    if (!expiresAt) {
      return;
    }
    const remainingMs = Date.parse(expiresAt) - Date.now();
    const wait = remainingMs - Math.min(60_000, remainingMs / 5);
    if (remainingMs > 2_000 && wait < 2 ** 31) {
      this.#refreshTimer = setTimeout(() => void this.#refresh(connection, expiresAt), wait);
    }
  }

  async #refresh(connection: Connection, expiresAt: string): Promise<void> {
    try {
      const token = await requestToken(this.#options.getToken, { refresh: true });
      const answer = await connection.request(
        { type: "session.refresh", token },
        "session.refreshed",
        15_000,
      );
      this.#scheduleRefresh(connection, answer.token_expires_at);
    } catch {
      // No newer token yet: retry in the remaining time. If there is none until expiry, the server closes with 4401,
      // and the reconnect reports the error.
      if (connection === this.connection) {
        this.#scheduleRefresh(connection, expiresAt);
      }
    }
  }

  async #waitBeforeReconnect(minDelayMs: number, reason: string, stop: AbortSignal): Promise<void> {
    const wait = this.#backoff.next(minDelayMs);
    this.#wake = new AbortController();
    const { attempt } = this.#backoff;
    this.#pendingReconnect = { name: "reconnecting", attempt, retryAt: Date.now() + wait, reason };
    if (!(this.#httpEvents && this.#state.name === "fallback")) {
      this.#setState(this.#pendingReconnect);
    }
    await delay(wait, AbortSignal.any([stop, this.#wake.signal])).catch(() => undefined);
    this.#pendingReconnect = undefined;
  }

  #setState(state: SessionState): void {
    this.#state = state;
    this.states.emit(state);
  }
}

function isConnected(state: SessionState): boolean {
  return state.name === "live" || state.name === "fallback";
}
