import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { type ClientMessage, type Export, encodeFrame, type ServerMessage } from "../src/index.js";

/** A message that the test server receives. */
export type Received = ClientMessage;

/** One WebSocket on the server's side. */
export class Peer {
  readonly #socket: WebSocket;
  readonly #inbox: Received[] = [];
  #wake: (() => void) | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => {
      this.#inbox.push(JSON.parse(String(data)) as Received);
      this.#wake?.();
    });
  }

  /** Resolves with the next message of this type, and drops others before it. */
  async expect<T extends Received["type"]>(type: T): Promise<Extract<Received, { type: T }>> {
    for (;;) {
      const message = this.#inbox.shift();
      if (message?.type === type) {
        return message as Extract<Received, { type: T }>;
      }
      if (!message) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Received messages that no test has consumed. */
  get unread(): readonly Received[] {
    return this.#inbox;
  }

  send(message: ServerMessage): void {
    this.#socket.send(JSON.stringify(message));
  }

  ready(more: { epoch?: string; seq?: number; heartbeatMs?: number; expiresInMs?: number } = {}): void {
    this.send({
      type: "session.ready",
      session_id: "s",
      sub: "alice",
      tenant: "acme",
      epoch: more.epoch ?? "e1",
      seq: more.seq ?? 0,
      token_expires_at: new Date(Date.now() + (more.expiresInMs ?? 3_600_000)).toISOString(),
      heartbeat_ms: more.heartbeatMs ?? 60_000,
      limits: { message_bytes: 65536, streams: 4, window_bytes: 1 << 24 },
      credits: { balance: 5, next_grant_at: "2026-11-23T00:00:00.000Z" },
    });
  }

  frame(stream: number, offset: number, payload: Uint8Array): void {
    this.#socket.send(encodeFrame({ stream, offset, payload }));
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  /** Terminates the connection without a close frame. */
  disconnect(): void {
    this.#socket.terminate();
  }
}

/** A minimal gateway. A test controls its WebSockets. */
export class TestServer {
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #peers: Peer[] = [];
  readonly #routes: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {};
  #wake: (() => void) | undefined;
  /** Issued tickets, newest last. */
  readonly tickets: string[] = [];
  /** Authorization headers of the ticket requests. */
  readonly authorizations: (string | undefined)[] = [];

  private constructor() {
    this.#http = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://test").pathname;
      const route = this.#routes[`${request.method} ${path}`];
      if (route) {
        route(request, response);
        return;
      }
      problem(response, 404, "not-found");
    });
    this.route("POST /v1/tickets", (request, response) => {
      const ticket = `t${this.tickets.length + 1}`;
      this.tickets.push(ticket);
      this.authorizations.push(request.headers.authorization);
      json(response, 201, { ticket, expires_at: new Date(Date.now() + 30_000).toISOString() });
    });
    this.#sockets = new WebSocketServer({
      server: this.#http,
      path: "/v1/ws",
      handleProtocols: (offered) =>
        offered.has(`sluice.ticket.${this.tickets.at(-1)}`) && offered.has("sluice.v1") ? "sluice.v1" : false,
    });
    this.#sockets.on("connection", (socket) => {
      this.#peers.push(new Peer(socket));
      this.#wake?.();
    });
  }

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await new Promise<void>((resolve) => {
      server.#http.listen(0, "127.0.0.1", resolve);
    });
    return server;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  route(key: string, handler: (request: IncomingMessage, response: ServerResponse) => void): void {
    this.#routes[key] = handler;
  }

  /** Resolves with the next WebSocket that a client opens. */
  async accept(): Promise<Peer> {
    for (;;) {
      const peer = this.#peers.shift();
      if (peer) {
        return peer;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) {
      socket.terminate();
    }
    this.#sockets.close();
    this.#http.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#http.close(() => resolve());
    });
  }
}

/** Sends a response with a JSON body. */
export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** Sends a response with a problem document. */
export function problem(response: ServerResponse, status: number, slug: string, more: object = {}): void {
  response
    .writeHead(status, { "content-type": "application/problem+json" })
    .end(JSON.stringify({ type: `/problems/${slug}`, title: slug, status, ...more }));
}

/** Deterministic bytes without repetition. */
export function someBytes(length: number, salt = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = salt;
  for (let i = 0; i < length; i += 1) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    bytes[i] = state >> 16;
  }
  return bytes;
}

/** Hex SHA-256 by Node, not by the code under test. */
export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A completed export with these bytes as file. */
export function completedExport(id: string, bytes: Uint8Array): Export {
  return {
    id,
    dataset: "flights",
    template: "default",
    format: "csv",
    compression: "none",
    filter: {},
    columns: [],
    params: {},
    status: "completed",
    attempt: 1,
    requested_at: "2026-11-22T15:26:01.123Z",
    started_at: null,
    completed_at: "2026-11-22T15:26:04.567Z",
    expires_at: null,
    progress: { rows: 1, rows_total: 1, bytes: bytes.length, queue_position: null, eta_ms: null },
    file: { name: "f.csv", size: bytes.length, rows: 1, sha256: digestOf(bytes), media_type: "text/csv" },
    problem: null,
    links: { self: "", file: "", metadata: "" },
  };
}

/** A sink that keeps all bytes in memory. */
export class MemorySink {
  bytes = new Uint8Array(0);
  resets = 0;

  write(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.bytes.length + chunk.length);
    joined.set(this.bytes);
    joined.set(chunk, this.bytes.length);
    this.bytes = joined;
  }

  reset(): void {
    this.bytes = new Uint8Array(0);
    this.resets += 1;
  }
}
