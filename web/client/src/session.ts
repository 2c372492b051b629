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

/** Sockets in a row that never got ready, though the gateway answers, after which events come another way. */
const MAX_BLOCKED_SOCKETS = 3;

/**
 * Where the session stands. `fallback`: the gateway answers, but no socket can be opened, so events come over HTTP
 * until one can. `closed` is final until `connect` is called again.
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
  /** Default: the global `WebSocket`. */
  webSocket?: WebSocketConstructor | undefined;
  backoff?: BackoffOptions | undefined;
  /** Longest wait for `session.ready`, in milliseconds. Default 10 000. */
  readyTimeoutMs?: number | undefined;
  /** Deadline of one request, in milliseconds. Default 15 000. */
  requestTimeoutMs?: number | undefined;
}

/** Keeps one live connection as long as it is wanted: tickets, reconnects, replay and token refresh. */
export class Session {
  /** Every server message, repeats of numbered events left out. */
  readonly messages = new Emitter<ServerMessage>();
  readonly states = new Emitter<SessionState>();
  /** Somebody wants waiting to end, such as when the network is back. */
  readonly retries = new Emitter<void>();
  /** Events were lost: what was kept from before must be fetched again. */
  readonly resyncs = new Emitter<void>();
  readonly #options: SessionOptions;
  readonly #backoff: Backoff;
  readonly #cursor = new ReplayCursor();
  #state: SessionState = { name: "idle" };
  #connection: Connection | undefined;
  #stop: AbortController | undefined;
  #wake: AbortController | undefined;
  /** The wait before the next socket, while it lasts. */
  #pendingReconnect: Extract<SessionState, { name: "reconnecting" }> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  /** Sockets in a row that never got ready. */
  #blockedSockets = 0;
  #httpEvents: { events: HttpEvents; stop: AbortController } | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff);
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The live connection, if there is one. */
  get connection(): Connection | undefined {
    return this.#state.name === "live" ? this.#connection : undefined;
  }

  /** Starts connecting, if that is not going on, and waits until events come, by a socket or another way. */
  async connect(): Promise<SessionState> {
    if (this.#state.name === "idle" || this.#state.name === "closed") {
      this.#stop = new AbortController();
      this.#backoff.reset();
      this.#set({ name: "connecting", attempt: 0 });
      void this.#run(this.#stop.signal);
    }
    return this.#waitFor(isConnected);
  }

  /** Ends the session for good. */
  close(): void {
    this.#stop?.abort();
    this.#endFallback();
    clearTimeout(this.#refreshTimer);
    this.#connection?.end(1000, "closed by the client");
    if (this.#state.name !== "closed") {
      this.#set({ name: "closed", error: undefined });
    }
  }

  /** Skips the rest of a wait, such as when the network is back. */
  retryNow(): void {
    this.#wake?.abort();
    this.#httpEvents?.events.pollNow();
    this.retries.emit();
  }

  /** Something was started that events are to be expected of. */
  pollNow(): void {
    this.#httpEvents?.events.pollNow();
  }

  /** Waits until a socket is live or known to be blocked; rejects when the session is closed or the signal aborted. */
  whenConnected(signal?: AbortSignal): Promise<SessionState> {
    return this.#waitFor(isConnected, signal);
  }

  #waitFor(wanted: (state: SessionState) => boolean, signal?: AbortSignal): Promise<SessionState> {
    return new Promise((resolve, reject) => {
      let off: Unsubscribe = () => undefined;
      const onAbort = () => finish(() => reject(SluiceError.from(signal?.reason, "aborted")));
      const finish = (settle: () => void) => {
        off();
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const check = (state: SessionState) => {
        if (wanted(state)) {
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
      off = this.states.on(check);
      signal?.addEventListener("abort", onAbort, { once: true });
      check(this.#state);
    });
  }

  /** A request on the live connection; `network` at once when there is none, `aborted` when its caller gives it up. */
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

  async #run(stop: AbortSignal): Promise<void> {
    let newToken = false;
    while (!stop.aborted) {
      const { action, reason, error } = await this.#connectOnce(newToken, stop);
      if (stop.aborted) {
        return; // by now another run may own the connection
      }
      this.#cursor.disconnected();
      clearTimeout(this.#refreshTimer);
      this.#connection = undefined;
      if (!action.retry) {
        this.#endFallback();
        const title = action.meaning;
        this.#set({
          name: "closed",
          error: error ?? new SluiceError({ slug: action.slug, title, detail: reason }),
        });
        return;
      }
      newToken = action.newToken;
      await this.#pause(action.minDelayMs, reason, stop);
    }
  }

  /** One connection from ticket to end. */
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
      this.#endFallback(); // it is not the sockets alone
      return { action, reason: error.message, error };
    }
    let readyAt: number | undefined;
    let connection: Connection;
    try {
      connection = this.#open(ticket, () => {
        readyAt = Date.now();
      });
    } catch (cause) {
      // no such class here, or one that policy forbids: as good as blocked
      this.#countBlocked(stop);
      return { action: closeActionOf(1006), reason: SluiceError.from(cause).message };
    }
    this.#connection = connection;
    if (stop.aborted) {
      connection.end(1000, "closed by the client");
    }
    const closed: CloseInfo = await connection.closed;
    if (readyAt !== undefined && Date.now() - readyAt >= HEALTHY_MS) {
      this.#backoff.reset();
    }
    if (readyAt === undefined) {
      this.#countBlocked(stop);
    } else {
      this.#blockedSockets = 0;
    }
    const action = closeActionOf(closed.code);
    return { action, reason: closed.reason || action.meaning };
  }

  #open(ticket: string, onReady: () => void): Connection {
    const url = this.#options.rest.url("/v1/ws");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const connection: Connection = new Connection({
      url: url.href,
      ticket,
      webSocket: this.#options.webSocket ?? WebSocket,
      readyTimeoutMs: this.#options.readyTimeoutMs ?? 10_000,
      onReady: (ready) => {
        onReady();
        this.#ready(connection, ready);
      },
      onMessage: (message) => {
        if (message.type === "session.resumed") {
          this.#resumed(message);
        }
        this.#receive(message);
      },
    });
    return connection;
  }

  #countBlocked(stop: AbortSignal): void {
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
    const before = this.#cursor.position;
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
        this.#set({ name: "fallback", transport });
        if (transport === "polling" && before) {
          this.resyncs.emit(); // what happened until the first check is received by nobody
        }
      },
    };
    const events = new HttpEvents(this.#options.rest, listener, before, this.#options.backoff);
    this.#httpEvents = { events, stop };
    events.run(stop.signal).catch(() => {
      if (this.#httpEvents?.events !== events) {
        return;
      }
      this.#httpEvents = undefined; // the next socket that can't be opened starts another
      if (this.#state.name === "fallback") {
        this.#set(this.#pendingReconnect ?? { name: "connecting", attempt: this.#backoff.attempt }); // nothing comes meanwhile
      }
      if (Date.now() - connectedAt >= HEALTHY_MS) {
        this.#backoff.reset();
        this.#wake?.abort(); // whether the gateway answers at all is found out now; not so of what fails at once
      }
    });
  }

  #endFallback(): void {
    this.#httpEvents?.stop.abort();
    this.#httpEvents = undefined;
  }

  #ready(connection: Connection, ready: SessionReady): void {
    this.#endFallback();
    const { epoch, seq } = ready;
    const before = this.#cursor.position;
    this.#scheduleRefresh(connection, ready.token_expires_at);
    if (before) {
      this.#cursor.beginReplay({ epoch, seq });
      void this.#resume(connection, { ...before });
    } else {
      this.#cursor.restart({ epoch, seq });
    }
    this.#set({ name: "live", ready });
    this.messages.emit(ready);
  }

  async #resume(connection: Connection, before: EventPosition): Promise<void> {
    try {
      await connection.request({ type: "session.resume", ...before }, "session.resumed", 15_000);
    } catch (cause) {
      // without the connection the next one resumes from the same position; all else says that it can't be done here
      if (SluiceError.from(cause).slug !== "network" && connection === this.connection) {
        this.#cursor.abandonReplay();
        this.resyncs.emit();
      }
    }
  }

  /** Heard at once, and not by whoever waits for the answer: the missed events may come right behind. */
  #resumed(answer: SessionResumed): void {
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

  /** Asks for a new token a minute before the old one ends (or at four fifths of a short life). */
  #scheduleRefresh(connection: Connection, expiresAt: string): void {
    clearTimeout(this.#refreshTimer);
    const left = Date.parse(expiresAt) - Date.now();
    const wait = left - Math.min(60_000, left / 5);
    if (left > 2_000 && wait < 2 ** 31) {
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
      // No newer token yet: ask again in the time that is left. If there is none to the end, the server
      // closes with 4401, and the reconnect reports what it is received.
      if (connection === this.connection) {
        this.#scheduleRefresh(connection, expiresAt);
      }
    }
  }

  async #pause(minDelayMs: number, reason: string, stop: AbortSignal): Promise<void> {
    const wait = this.#backoff.next(minDelayMs);
    this.#wake = new AbortController();
    const { attempt } = this.#backoff;
    this.#pendingReconnect = { name: "reconnecting", attempt, retryAt: Date.now() + wait, reason };
    if (!(this.#httpEvents && this.#state.name === "fallback")) {
      this.#set(this.#pendingReconnect);
    }
    await delay(wait, AbortSignal.any([stop, this.#wake.signal])).catch(() => undefined);
    this.#pendingReconnect = undefined;
  }

  #set(state: SessionState): void {
    this.#state = state;
    this.states.emit(state);
  }
}

function isConnected(state: SessionState): boolean {
  return state.name === "live" || state.name === "fallback";
}
