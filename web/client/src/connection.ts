import { SluiceError } from "./errors.js";
import { FileStreamTable } from "./fileStreams.js";
import { decodeFrame } from "./frames.js";
import { PendingRequests } from "./pendingRequests.js";
import type { ClientMessage, MessageOf, ServerMessage, SessionReady } from "./protocol.js";

/** The WebSocket subprotocol of this SDK. */
export const SUBPROTOCOL = "sluice.v1";

/** The part of the WebSocket constructor that the SDK uses. The browser's class and that of `ws` both fit. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocket;

/** Close code and reason of a connection. */
export interface CloseInfo {
  code: number;
  reason: string;
}

/** Settings of one connection. */
export interface ConnectionOptions {
  url: string;
  ticket: string;
  webSocket: WebSocketConstructor;
  /** Maximum wait for `session.ready`, in milliseconds. */
  readyTimeoutMs: number;
  onReady: (ready: SessionReady) => void;
  /** Called with every text message after `session.ready`, in order. */
  onMessage: (message: ServerMessage) => void;
}

/** One WebSocket connection. A connection is never reopened; the session creates a new one. */
export class Connection {
  /** Resolves once, when the connection is closed. */
  readonly closed: Promise<CloseInfo>;
  readonly streams: FileStreamTable;
  readonly #pending = new PendingRequests();
  readonly #socket: WebSocket;
  readonly #options: ConnectionOptions;
  readonly #timers = new Set<ReturnType<typeof setInterval>>();
  readonly #openRefs = new Set<string>();
  #ready = false;
  #ended = false;
  #receivedSinceHeartbeat = true;
  #resolveClosed: (closed: CloseInfo) => void = () => undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.streams = new FileStreamTable((message) => this.send(message));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#socket = new options.webSocket(options.url, [SUBPROTOCOL, `sluice.ticket.${options.ticket}`]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#handleClose({ code: event.code, reason: event.reason });
    this.#socket.onerror = () => undefined; // a close event with the code always follows
    const timer = setTimeout(() => this.close(1006, "not ready in time"), options.readyTimeoutMs);
    this.#timers.add(timer);
  }

  /** Sends a message. Returns false when the connection is not open. */
  send(message: ClientMessage): boolean {
    if (this.#ended || !this.#ready) {
      return false;
    }
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Sends a message and waits for its direct answer.
   *
   * @throws SluiceError the problem of an `error` answer; `timeout`; `aborted` when the caller aborts; `network` when
   *   the connection is lost.
   */
  async request<T extends ServerMessage["type"]>(
    message: ClientMessage,
    answer: T,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<MessageOf<T>> {
    if (this.#ended || !this.#ready) {
      throw connectionLost("not connected");
    }
    const send = (ref: string) => {
      if (message.type === "file.open") {
        this.#openRefs.add(ref);
      }
      this.send({ ...message, ref });
    };
    const reply = await this.#pending.start(timeoutMs, send, signal);
    if (reply.type !== answer) {
      throw new SluiceError({
        slug: "protocol",
        title: "Unexpected answer",
        detail: `${reply.type} instead of ${answer}`,
      });
    }
    return reply as MessageOf<T>;
  }

  /** Closes the connection at once, without waiting for the server's close frame. */
  close(code: number, reason: string): void {
    if (this.#ended) {
      return;
    }
    const sendable = code === 1000 || code >= 3000;
    this.#socket.close(sendable ? code : 1000, reason);
    this.#handleClose({ code, reason });
  }

  #receive(data: unknown): void {
    if (this.#ended) {
      return;
    }
    this.#receivedSinceHeartbeat = true;
    try {
      if (typeof data === "string") {
        this.#handleMessage(JSON.parse(data) as ServerMessage);
      } else {
        const frame = decodeFrame(data as ArrayBuffer);
        if (frame) {
          this.streams.frame(frame);
        }
      }
    } catch (cause) {
      this.close(4500, cause instanceof Error ? cause.message.slice(0, 100) : "malformed message");
    }
  }

  #handleMessage(message: ServerMessage): void {
    if (!this.#ready) {
      if (message.type === "session.ready") {
        this.#ready = true;
        this.#clearTimers();
        this.#timers.add(setInterval(() => this.#heartbeat(), message.heartbeat_ms));
        this.#options.onReady(message);
      }
      return;
    }
    let requested = false;
    switch (message.type) {
      case "file.opened":
        requested = message.ref ? this.#openRefs.delete(message.ref) : false;
        this.streams.opened(message, requested);
        break;
      case "file.sealed":
        this.streams.sealed(message);
        break;
      case "file.closed":
        this.streams.closed(message);
        break;
    }
    const settled = this.#pending.settle(message);
    if (message.type === "file.opened" && requested && !settled) {
      this.streams.take(message.stream)?.close(); // the caller no longer waits for this stream
    }
    this.#options.onMessage(message);
  }

  /**
   * Browsers hide WebSocket pings, so the client sends its own `ping` when it has received nothing for one heartbeat.
   */
  #heartbeat(): void {
    if (!this.#receivedSinceHeartbeat) {
      this.close(1006, "no heartbeat");
      return;
    }
    this.#receivedSinceHeartbeat = false;
    this.send({ type: "ping", ref: "heartbeat" });
  }

  #handleClose(closed: CloseInfo): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#clearTimers();
    const error = connectionLost(closed.reason || `close code ${closed.code}`);
    this.#pending.failAll(error);
    this.streams.lost(error);
    this.#resolveClosed(closed);
  }

  #clearTimers(): void {
    for (const timer of this.#timers) {
      clearTimeout(timer);
    }
    this.#timers.clear();
  }
}

/** Creates the error with which pending requests fail when the connection is lost. */
export function connectionLost(detail: string): SluiceError {
  return new SluiceError({ slug: "network", title: "The connection was lost", detail });
}
