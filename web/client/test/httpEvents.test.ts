import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { type Export, SluiceClient, type SluiceEvent, type WebSocketConstructor } from "../src/index.js";
import { completedExport, json, problem, someBytes, TestServer } from "./testServer.js";

/** A WebSocket behind a proxy without WebSocket support: it closes before it opens. */
class BlockedSocket {
  onclose: ((event: { code: number; reason: string }) => void) | undefined;
  constructor() {
    queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" }));
  }
  close(): void {}
}

describe("without a WebSocket", () => {
  let server: TestServer;
  let client: SluiceClient;
  let blocked: boolean;
  const received: SluiceEvent[] = [];

  beforeEach(async () => {
    server = await TestServer.start();
    blocked = true;
    class MaybeSocket {
      constructor(url: string, protocols: string[]) {
        // biome-ignore lint/correctness/noConstructorReturn: it stands for one of two other classes
        return blocked ? new BlockedSocket() : (new NodeWebSocket(url, protocols) as object);
      }
    }
    const webSocket = MaybeSocket as unknown as WebSocketConstructor;
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket,
      backoff: { baseMs: 1, capMs: 5 },
    });
    received.length = 0;
    for (const type of ["export.progress", "export.completed", "credits.changed"] as const) {
      client.on(type, (event) => received.push(event));
    }
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  it("events come from the event stream, each once, and resume after the last one", async () => {
    const streams: { response: ServerResponse; after: string | string[] | undefined }[] = [];
    server.route("GET /v1/events", (request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      streams.push({ response, after: request.headers["last-event-id"] });
    });
    await expect(client.connect()).resolves.toEqual({ name: "fallback", transport: "sse" });
    const event = (seq: number) =>
      `id: e1:${seq}\nevent: credits.changed\ndata: ${JSON.stringify({ seq, balance: seq, held: 0, reason: "hold" })}\n\n`;
    streams[0]?.response.write(event(3) + event(4));
    await expect.poll(() => received.length).toBe(2);
    streams[0]?.response.end();
    await expect.poll(() => streams.length).toBe(2);
    expect(streams[1]?.after).toBe("e1:4");
    streams[1]?.response.write(event(4) + event(5));
    await expect.poll(() => received.map((one) => "balance" in one && one.balance)).toEqual([3, 4, 5]);
  });

  it("the event stream resumes at the position of the lost WebSocket", async () => {
    blocked = false;
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready({ seq: 3 });
    await connecting;
    peer.send({ type: "credits.changed", seq: 4, balance: 4, held: 0, reason: "grant" });
    await expect.poll(() => received.length).toBe(1);
    const after = new Promise((resolve) => {
      server.route("GET /v1/events", (request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const body = JSON.stringify({ balance: 5, held: 0, reason: "grant", seq: 5 });
        response.write(`id: e1:5\nevent: credits.changed\ndata: ${body}\n\n`);
        resolve(request.headers["last-event-id"]);
      });
    });
    blocked = true;
    peer.disconnect();
    expect(await after).toBe("e1:4");
    await expect.poll(() => received.map((one) => "balance" in one && one.balance)).toEqual([4, 5]);
    blocked = false;
    const later = await server.accept();
    later.ready({ seq: 6 });
    expect(await later.expect("session.resume")).toMatchObject({ epoch: "e1", seq: 5 });
  });

  it("a silent event stream is reopened, and lost events are reported", async () => {
    const opened: (string | string[] | undefined)[] = [];
    let lost = 0;
    client.onResync(() => {
      lost += 1;
    });
    server.route("GET /v1/events", (request, response) => {
      opened.push(request.headers["last-event-id"]);
      const ready = { type: "session.ready", heartbeat_ms: 20, seq: 3 };
      const resumed = { type: "session.resumed", recovered: false, replayed: 0 };
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`id: e1-3\ndata: ${JSON.stringify(ready)}\n\ndata: ${JSON.stringify(resumed)}\n\n`);
    });
    await client.connect();
    await expect.poll(() => opened.length).toBeGreaterThan(2);
    expect(opened[1]).toBe("e1-3");
    expect(lost).toBeGreaterThan(0);
  });

  it("without an event stream events come by polling, and files over HTTP", async () => {
    const bytes = someBytes(40);
    const completed = completedExport("x1", bytes);
    const running: Export = { ...completed, status: "running", file: null, progress: { rows: 1, bytes: 10 } };
    let listed: Export[] = [];
    server.route("GET /v1/exports", (_, response) =>
      json(response, 200, { items: listed, next_cursor: null }),
    );
    server.route("GET /v1/exports/x1", (_, response) => {
      listed = [listed[0]?.status === "running" ? completed : running];
      json(response, 200, listed[0]);
    });
    server.route("GET /v1/exports/x1/file", (_, response) => response.end(bytes));
    server.route("GET /v1/credits", (_, response) =>
      json(response, 200, { balance: 5 - listed.length, held: 0, next_grant_at: "", entries: [] }),
    );
    server.route("POST /v1/exports", (_, response) => {
      listed = [{ ...running, status: "queued" }];
      json(response, 202, listed[0]);
    });
    await expect(client.connect()).resolves.toEqual({ name: "fallback", transport: "polling" });
    await client.exports.create({ dataset: "flights" });
    await expect
      .poll(() => received.map((one) => one.type))
      .toEqual(["export.progress", "credits.changed", "export.progress", "export.completed"]);
    const parts: Uint8Array[] = [];
    const sink = { write: (chunk: Uint8Array) => void parts.push(chunk), reset: () => undefined };
    await expect(client.download("x1", { sink })).resolves.toMatchObject({ verified: true });
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
  });

  it("the session returns to a WebSocket as soon as one opens", async () => {
    server.route("GET /v1/exports", (_, response) => json(response, 200, { items: [], next_cursor: null }));
    server.route("GET /v1/credits", (_, response) => json(response, 200, { balance: 5, held: 0 }));
    await client.connect();
    blocked = false;
    (await server.accept()).ready();
    await expect.poll(() => client.state.name).toBe("live");
  });

  it("an event stream that fails at once is retried with a backoff, and the state never becomes fallback", async () => {
    client.close();
    let requests = 0;
    server.route("POST /v1/tickets", (_, response) => {
      requests += 1;
      json(response, 200, { ticket: "t", expires_in: 30 });
    });
    server.route("GET /v1/events", (_, response) => problem(response, 503, "unavailable"));
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket: BlockedSocket as unknown as WebSocketConstructor,
      backoff: { baseMs: 1, capMs: 3_600_000, random: () => 0.999 }, // each delay is twice the one before
    });
    const states: string[] = [];
    client.onStateChange(({ name }) => states.push(name));
    const began = performance.now();
    client.connect().catch(() => undefined);
    await expect.poll(() => requests).toBeGreaterThan(8);
    // the first eight delays are 1 + 2 + 4 and so on up to 128 ms, less rounding
    expect(performance.now() - began).toBeGreaterThan(235);
    expect(states).not.toContain("fallback");
  });

  it("the state leaves fallback when the event stream breaks, also while a WebSocket is being opened", async () => {
    const streams: ServerResponse[] = [];
    server.route("GET /v1/events", (_, response) => {
      if (streams.length > 0) {
        return; // no answer, so that the state depends on the broken stream alone
      }
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      streams.push(response);
    });
    await client.connect();
    const left = new Promise((resolve) =>
      client.onStateChange(({ name }) => name !== "fallback" && resolve(name)),
    );
    server.route("POST /v1/tickets", () => undefined); // no delay before the next WebSocket either
    streams[0]?.destroy();
    expect(["connecting", "reconnecting"]).toContain(await left);
  });

  it("event streams that end at once are reopened with a backoff", async () => {
    client.close();
    let opened = 0;
    server.route("GET /v1/events", (_, response) => {
      opened += 1;
      response.writeHead(200, { "content-type": "text/event-stream" }).end();
    });
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket: BlockedSocket as unknown as WebSocketConstructor,
      backoff: { baseMs: 1, capMs: 3_600_000, random: () => 0.999 },
    });
    const began = performance.now();
    await client.connect();
    await expect.poll(() => opened).toBeGreaterThan(8);
    expect(performance.now() - began).toBeGreaterThan(235); // the sum of the delays, as above
  });

  it("a gateway that does not answer is not mistaken for a blocked WebSocket", async () => {
    server.route("POST /v1/tickets", (_, response) => problem(response, 503, "unavailable"));
    client.connect().catch(() => undefined);
    await expect.poll(() => client.state.name === "reconnecting" && client.state.attempt).toBeGreaterThan(4);
  });
});

describe("the event iterator", () => {
  it("returns events in order, only the newest progress, and ends with the loop", async () => {
    const server = await TestServer.start();
    const client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket: NodeWebSocket as unknown as WebSocketConstructor,
    });
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    const events = client.events({ types: ["export.progress", "export.completed"] });
    for (const rows of [1, 2, 3]) {
      peer.send({ type: "export.progress", export_id: "x", progress: { rows, bytes: rows } });
    }
    const ended = new Promise((resolve) => client.on("export.completed", resolve));
    peer.send({ type: "export.completed", seq: 1, export: completedExport("x", someBytes(1)) });
    await ended;
    const seen = [(await events.next()).value, (await events.next()).value];
    expect(seen.map((event) => event && ("progress" in event ? event.progress.rows : event.type))).toEqual([
      3,
      "export.completed",
    ]);
    const pending = events.next();
    await events.return();
    expect((await pending).done).toBe(true);
    client.close();
    await server.stop();
  });

  it("ends with the client after the queued events, and throws the error of a closed session", async () => {
    const server = await TestServer.start();
    const client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket: NodeWebSocket as unknown as WebSocketConstructor,
    });
    const live = async () => {
      const connecting = client.connect();
      const peer = await server.accept();
      peer.ready();
      await connecting;
      return peer;
    };
    const early = client.events();
    const peer = await live();
    const ended = new Promise((resolve) => client.on("export.completed", resolve));
    peer.send({ type: "export.completed", seq: 1, export: completedExport("x", someBytes(1)) });
    await ended;
    client.close();
    expect(await early.next()).toMatchObject({ value: { type: "export.completed" } });
    expect(await early.next()).toEqual({ done: true, value: undefined });
    const next = live();
    const other = client.events();
    const pending = other.next();
    (await next).close(4403);
    await expect(pending).rejects.toMatchObject({ slug: "forbidden" });
    expect((await other.next()).done).toBe(true);
    await expect(client.events().next()).rejects.toMatchObject({ slug: "forbidden" });
    await server.stop();
  });
});
