import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { type DownloadOptions, newHasher, SluiceClient, type WebSocketConstructor } from "../src/index.js";
import {
  completedExport,
  digestOf,
  json,
  MemorySink,
  type Peer,
  problem,
  someBytes,
  TestServer,
} from "./testServer.js";

const webSocket = NodeWebSocket as unknown as WebSocketConstructor;
const ID = "0199-x";

describe("download over the WebSocket", () => {
  let server: TestServer;
  let client: SluiceClient;
  let peer: Peer;
  let sink: MemorySink;

  beforeEach(async () => {
    server = await TestServer.start();
    client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", webSocket, backoff: { baseMs: 1 } });
    const connecting = client.connect();
    peer = await server.accept();
    peer.ready();
    await connecting;
    sink = new MemorySink();
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  const download = (more: Partial<DownloadOptions> = {}) => client.download(ID, { sink, ...more });
  const opened = async (stream: number, on = peer) => {
    const open = await on.expect("file.open");
    on.send({ type: "file.opened", ref: open.ref ?? "", stream, export_id: ID, offset: open.offset ?? 0 });
    return open;
  };
  const seal = (stream: number, bytes: Uint8Array, on = peer) =>
    on.send({ type: "file.sealed", stream, size: bytes.length, rows: 3, sha256: digestOf(bytes) });

  it("accepts frames in order and completes only after the seal", async () => {
    const bytes = someBytes(3000);
    const result = download();
    expect(await opened(1)).toMatchObject({ export_id: ID, offset: 0, window: 1024 * 1024 });
    peer.frame(1, 0, bytes.subarray(0, 1000));
    peer.frame(1, 1000, bytes.subarray(1000));
    seal(1, bytes);
    await expect(result).resolves.toEqual({ size: 3000, rows: 3, sha256: digestOf(bytes), verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("grants drained bytes after half a window, and none while the sink is slow", async () => {
    const bytes = someBytes(100);
    let release: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = {
      write: async (chunk: Uint8Array) => {
        await blocked;
        sink.write(chunk);
      },
      reset: () => sink.reset(),
    };
    const result = client.download(ID, { sink: slow, window: 100, maxWindow: 100 });
    await opened(5);
    peer.frame(5, 0, bytes.subarray(0, 30));
    peer.frame(5, 30, bytes.subarray(30, 60));
    const barrier = client.exports.create({ dataset: "barrier" });
    const create = await peer.expect("export.create");
    expect(peer.unread).toEqual([]);
    peer.send({ type: "export.accepted", ref: create.ref ?? "", export: completedExport("b", bytes) });
    await barrier;
    release();
    expect(await peer.expect("file.window")).toMatchObject({ stream: 5, bytes: 60 });
    peer.frame(5, 60, bytes.subarray(60));
    seal(5, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
  });

  it("resumes at the exact offset after a reconnect", async () => {
    const bytes = someBytes(5000);
    const result = download();
    await opened(1);
    const halfway = new Promise<void>((resolve) => {
      const write = sink.write.bind(sink);
      sink.write = (chunk) => {
        write(chunk);
        resolve();
      };
    });
    peer.frame(1, 0, bytes.subarray(0, 2000));
    await halfway;
    peer.disconnect();
    const second = await server.accept();
    second.ready();
    expect(await opened(9, second)).toMatchObject({ offset: 2000 });
    second.frame(9, 2000, bytes.subarray(2000));
    seal(9, bytes, second);
    await expect(result).resolves.toMatchObject({ verified: true });
    expect(sink.bytes).toEqual(bytes);
    expect(sink.resets).toBe(0);
  });

  it("retries at once on retryNow, however long the backoff delay", async () => {
    client.close();
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket,
      backoff: { baseMs: 60_000, capMs: 60_000, random: () => 0.9 },
    });
    const connecting = client.connect();
    peer = await server.accept();
    peer.ready();
    await connecting;
    const bytes = someBytes(100);
    const received: string[] = [];
    const result = download({ socketTimeoutMs: 60_000, onStateChange: (state) => received.push(state) });
    await opened(1);
    peer.disconnect();
    await expect.poll(() => received).toEqual(["waiting"]);
    client.retryNow();
    const second = await server.accept();
    second.ready();
    await opened(2, second);
    second.frame(2, 0, bytes);
    seal(2, bytes, second);
    await expect(result).resolves.toMatchObject({ verified: true });
  });

  it("switches to a WebSocket that opens late, because HTTP has no bytes of a running export", async () => {
    client.close();
    client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", webSocket, backoff: { baseMs: 1 } });
    const connecting = client.connect();
    peer = await server.accept();
    const bytes = someBytes(100);
    let requests = 0;
    server.route(`GET /v1/exports/${ID}`, (_, response) => {
      requests += 1;
      if (requests === 1) {
        json(response, 200, { ...completedExport(ID, bytes), status: "running", file: null });
      } // the second request is a long poll that never ends
    });
    // the option must not make the download wait for a stream of an earlier connection
    const result = download({ socketTimeoutMs: 1, announced: true });
    await expect.poll(() => requests).toBe(2);
    peer.ready();
    await connecting;
    await opened(3);
    peer.frame(3, 0, bytes);
    seal(3, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("fails after maxFailures consecutive failures", async () => {
    let requests = 0;
    server.route(`GET /v1/exports/${ID}`, (_, response) => {
      requests += 1;
      problem(response, 503, "unavailable");
    });
    const refused = download({ transport: "rest", maxFailures: 3 });
    await expect(refused).rejects.toMatchObject({ slug: "unavailable" });
    expect(requests).toBe(3);
  });

  it("starts again at 0 on restarted, and mixes no bytes of two attempts", async () => {
    const stale = someBytes(2000, 1);
    const bytes = someBytes(2500, 2);
    const result = download();
    await opened(1);
    peer.frame(1, 0, stale);
    peer.send({
      type: "file.closed",
      stream: 1,
      problem: { type: "/problems/restarted", title: "Restarted", status: 409, detail: "" },
    });
    expect(await opened(2)).toMatchObject({ offset: 0 });
    peer.frame(2, 0, bytes);
    seal(2, bytes);
    await expect(result).resolves.toMatchObject({ sha256: digestOf(bytes), verified: true });
    expect(sink.resets).toBe(1);
    expect(sink.bytes).toEqual(bytes);
  });

  it("reports interruption, resumption and the export attempt", async () => {
    const received: (string | number)[] = [];
    const bytes = someBytes(100);
    const result = download({
      onStateChange: (state) => received.push(state),
      onAttempt: (attempt) => received.push(attempt),
    });
    const first = await peer.expect("file.open");
    const answer = { type: "file.opened", stream: 1, export_id: ID, offset: 0, attempt: 2 } as const;
    peer.send({ ...answer, ref: first.ref ?? "" });
    await expect.poll(() => received).toEqual([2]);
    peer.disconnect();
    const second = await server.accept();
    second.ready();
    await opened(2, second);
    second.frame(2, 0, bytes);
    seal(2, bytes, second);
    await result;
    expect(received).toEqual([2, "waiting", "receiving"]);
  });

  it("as a stream has backpressure, and fails when the file is incomplete", async () => {
    const bytes = someBytes(50);
    const complete = client.stream(ID);
    await opened(1);
    peer.frame(1, 0, bytes);
    seal(1, bytes);
    expect(new Uint8Array(await new Response(complete.readable).arrayBuffer())).toEqual(bytes);
    await expect(complete.done).resolves.toMatchObject({ verified: true });
    const damaged = client.stream(ID);
    await opened(2);
    peer.frame(2, 0, someBytes(50, 7));
    seal(2, bytes);
    await expect(new Response(damaged.readable).arrayBuffer()).rejects.toMatchObject({
      slug: "digest-mismatch",
    });
    const abandoned = client.stream(ID);
    await opened(3);
    await abandoned.readable.cancel();
    expect((await peer.expect("file.close")).stream).toBe(3);
  });

  it("reopens the stream at its own position after a gap", async () => {
    const bytes = someBytes(300);
    const result = download();
    await opened(1);
    peer.frame(1, 0, bytes.subarray(0, 100));
    peer.frame(1, 200, bytes.subarray(200));
    expect((await peer.expect("file.close")).stream).toBe(1);
    expect(await opened(2)).toMatchObject({ offset: 100 });
    peer.frame(2, 100, bytes.subarray(100));
    seal(2, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("rejects a file whose digest differs from the seal", async () => {
    const result = download();
    await opened(1);
    peer.frame(1, 0, someBytes(50, 1));
    seal(1, someBytes(50, 2));
    await expect(result).rejects.toMatchObject({ slug: "digest-mismatch" });
  });

  it("rejects a file that is shorter than the seal", async () => {
    const bytes = someBytes(50);
    const result = download();
    await opened(1);
    peer.frame(1, 0, bytes.subarray(0, 40));
    seal(1, bytes);
    await expect(result).rejects.toMatchObject({ slug: "digest-mismatch" });
  });

  it("uses the stream that the server opens for deliver: stream, even when its frames come at once", async () => {
    const bytes = someBytes(64);
    const starting = client.exports.create({ dataset: "flights" }, { deliver: "stream" });
    const create = await peer.expect("export.create");
    expect(create).toMatchObject({ deliver: "stream", window: 1024 * 1024 });
    peer.send({ type: "export.accepted", ref: create.ref ?? "", export: completedExport(ID, bytes) });
    peer.send({ type: "file.opened", ref: create.ref ?? "", stream: 4, export_id: ID, offset: 0 });
    peer.frame(4, 0, bytes);
    seal(4, bytes);
    const started = await starting;
    await expect(download({ announced: started.announced })).resolves.toMatchObject({ verified: true });
    expect(peer.unread.filter((message) => message.type === "file.open")).toEqual([]);
  });

  it("fails with the problem of an export that fails before it has bytes", async () => {
    const result = download({ announced: true });
    const failed = completedExport(ID, new Uint8Array(0));
    peer.send({
      type: "export.failed",
      seq: 1,
      export: {
        ...failed,
        status: "failed",
        file: null,
        problem: {
          type: "/problems/export-failed",
          title: "Failed",
          status: 500,
          detail: "source went away",
        },
      },
    });
    await expect(result).rejects.toMatchObject({ slug: "export-failed", detail: "source went away" });
  });

  it("fails with canceled when the export is canceled during the download", async () => {
    const result = download();
    await opened(6);
    peer.frame(6, 0, someBytes(10));
    const canceled = { ...completedExport(ID, new Uint8Array(0)), status: "canceled" as const, file: null };
    peer.send({ type: "export.canceled", seq: 1, export: canceled });
    await expect(result).rejects.toMatchObject({ slug: "canceled" });
    expect((await peer.expect("file.close")).stream).toBe(6);
  });

  it("retries while the export has no bytes yet", async () => {
    const bytes = someBytes(10);
    const result = download();
    const early = await peer.expect("file.open");
    peer.send({
      type: "error",
      ref: early.ref ?? "",
      problem: { type: "/problems/not-ready", title: "Not ready", status: 409, detail: "" },
    });
    await opened(2);
    peer.frame(2, 0, bytes);
    seal(2, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
  });

  it("resumes earlier bytes with their hash state", async () => {
    const bytes = someBytes(400);
    sink.write(bytes.subarray(0, 150));
    const hasher = newHasher().update(bytes.subarray(0, 150));
    const result = download({ offset: 150, hasher });
    expect(await opened(1)).toMatchObject({ offset: 150 });
    peer.frame(1, 150, bytes.subarray(150));
    seal(1, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("stops and closes the stream when its caller aborts", async () => {
    const stop = new AbortController();
    const result = download({ signal: stop.signal });
    await opened(3);
    stop.abort();
    await expect(result).rejects.toMatchObject({ slug: "aborted" });
    expect((await peer.expect("file.close")).stream).toBe(3);
  });
});

describe("download over HTTP", () => {
  let server: TestServer;
  let client: SluiceClient;
  let sink: MemorySink;

  beforeEach(async () => {
    server = await TestServer.start();
    client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", webSocket, backoff: { baseMs: 1 } });
    sink = new MemorySink();
  });
  afterEach(() => server.stop());

  it("is used without a WebSocket, and resumes with Range and If-Range after an interruption", async () => {
    const bytes = someBytes(4000);
    const ranges: (string | undefined)[] = [];
    let cut = () => {};
    server.route(`GET /v1/exports/${ID}`, (_, response) => json(response, 200, completedExport(ID, bytes)));
    server.route(`GET /v1/exports/${ID}/file`, (request, response) => {
      ranges.push(request.headers.range);
      const etag = `"${digestOf(bytes)}"`;
      if (!request.headers.range) {
        response.writeHead(200, { etag, "content-length": "4000" });
        response.write(bytes.subarray(0, 1500));
        cut = () => response.destroy();
        return;
      }
      expect(request.headers["if-range"]).toBe(etag);
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range)?.[1]);
      response.writeHead(206, { etag, "content-range": `bytes ${from}-3999/4000` });
      response.end(bytes.subarray(from));
    });
    // a broken connection may drop bytes in flight, so the test breaks it only after the client has all of them
    const onProgress = (received: number) => received === 1500 && cut();
    const result = client.download(ID, { sink, onProgress });
    await expect(result).resolves.toMatchObject({ size: 4000, verified: true });
    expect(sink.bytes).toEqual(bytes);
    expect(ranges).toEqual([undefined, "bytes=1500-"]);
  });

  it("waits for the export to complete by long polling", async () => {
    const bytes = someBytes(20);
    const preferHeaders: (string | string[] | undefined)[] = [];
    server.route(`GET /v1/exports/${ID}`, (request, response) => {
      preferHeaders.push(request.headers.prefer);
      const completed = completedExport(ID, bytes);
      json(
        response,
        200,
        preferHeaders.length < 3 ? { ...completed, status: "running", file: null } : completed,
      );
    });
    server.route(`GET /v1/exports/${ID}/file`, (_, response) => response.end(bytes));
    await expect(client.download(ID, { sink })).resolves.toMatchObject({ verified: true });
    expect(preferHeaders).toEqual([undefined, "wait=20", "wait=20"]);
  });

  it("fails at once when the file has expired", async () => {
    const bytes = someBytes(20);
    server.route(`GET /v1/exports/${ID}`, (_, response) => json(response, 200, completedExport(ID, bytes)));
    server.route(`GET /v1/exports/${ID}/file`, (_, response) => problem(response, 410, "expired"));
    await expect(client.download(ID, { sink })).rejects.toMatchObject({ slug: "expired" });
  });
});
