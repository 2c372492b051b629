import { SluiceError } from "./errors.js";
import { FileStreamTable } from "./fileStreams.js";
import { decodeFrame } from "./frames.js";
import { PendingRequests } from "./pendingRequests.js";
import type { ClientMessage, MessageOf, ServerMessage, SessionReady } from "./protocol.js";

/** The subprotocol that this SDK speaks. */
export const SUBPROTOCOL = "sluice.v1";

/** The part of the WebSocket constructor that is used; the browser's and that of `ws` both fit. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocket;

/** Why a connection ended. */
export interface CloseInfo {
  code: number;
  reason: string;
}

/** Settings of one connection. */
export interface ConnectionOptions {
  url: string;
  ticket: string;
  webSocket: WebSocketConstructor;
  /** Longest wait for `session.ready`, in milliseconds. */
  readyTimeoutMs: number;
  onReady: (ready: SessionReady) => void;
  /** Every text message after `session.ready`, in order. */
  onMessage: (message: ServerMessage) => void;
}

/** One WebSocket from its opening to its end; never used again after that. */
export class Connection {
  /** Settles once, when the connection is over. */
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
  #settle: (closed: CloseInfo) => void = () => undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.streams = new FileStreamTable((message) => this.send(message));
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#socket = new options.webSocket(options.url, [SUBPROTOCOL, `sluice.ticket.${options.ticket}`]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#end({ code: event.code, reason: event.reason });
    this.#socket.onerror = () => undefined; // a close event always follows, and says more
    const timer = setTimeout(() => this.end(1006, "not ready in time"), options.readyTimeoutMs);
    this.#timers.add(timer);
  }

  /** Sends a message. False when the connection is not open. */
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
   * @throws SluiceError the problem of an `error` answer; `timeout`; `aborted` when its caller gives it up; `network` when
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

  /** Ends the connection now, without waiting for the peer to agree. */
  end(code: number, reason: string): void {
    if (this.#ended) {
      return;
    }
    const sendable = code === 1000 || code >= 3000;
    this.#socket.close(sendable ? code : 1000, reason);
    this.#end({ code, reason });
  }

  #receive(data: unknown): void {
    if (this.#ended) {
      return;
    }
    this.#receivedSinceHeartbeat = true;
    try {
      if (typeof data === "string") {
        this.#text(JSON.parse(data) as ServerMessage);
      } else {
        const frame = decodeFrame(data as ArrayBuffer);
        if (frame) {
          this.streams.frame(frame);
        }
      }
    } catch (cause) {
      this.end(4500, cause instanceof Error ? cause.message.slice(0, 100) : "malformed message");
    }
  }

  #text(message: ServerMessage): void {
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
      this.streams.take(message.stream)?.close(); // its asker gave up waiting
    }
    this.#options.onMessage(message);
  }

  /** A browser never sees WebSocket pings, so the client asks by itself, and only when it heard nothing. */
  #heartbeat(): void {
    if (!this.#receivedSinceHeartbeat) {
      this.end(1006, "no heartbeat");
      return;
    }
    this.#receivedSinceHeartbeat = false;
    this.send({ type: "ping", ref: "heartbeat" });
  }

  #end(closed: CloseInfo): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#clearTimers();
    const error = connectionLost(closed.reason || `close code ${closed.code}`);
    this.#pending.failAll(error);
    this.streams.lost(error);
    this.#settle(closed);
  }

  #clearTimers(): void {
    for (const timer of this.#timers) {
      clearTimeout(timer);
    }
    this.#timers.clear();
  }
}

/** The error of everything that waited on a connection which is gone. */
export function connectionLost(detail: string): SluiceError {
  return new SluiceError({ slug: "network", title: "The connection was lost", detail });
}
