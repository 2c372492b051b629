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

describe("download over the socket", () => {
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

  it("takes frames in order and is whole only after the seal", async () => {
    const bytes = someBytes(3000);
    const result = download();
    expect(await opened(1)).toMatchObject({ export_id: ID, offset: 0, window: 1024 * 1024 });
    peer.frame(1, 0, bytes.subarray(0, 1000));
    peer.frame(1, 1000, bytes.subarray(1000));
    seal(1, bytes);
    await expect(result).resolves.toEqual({ size: 3000, rows: 3, sha256: digestOf(bytes), verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("grants what was drained once half the window is used, and nothing while the sink is slow", async () => {
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

  it("goes on at once when somebody wants it tried, however long it would have waited", async () => {
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

  it("uses a socket that comes late, as HTTP has nothing before the export is complete", async () => {
    client.close();
    client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", webSocket, backoff: { baseMs: 1 } });
    const connecting = client.connect();
    peer = await server.accept();
    const bytes = someBytes(100);
    let asked = 0;
    server.route(`GET /v1/exports/${ID}`, (_, response) => {
      asked += 1;
      if (asked === 1) {
        json(response, 200, { ...completedExport(ID, bytes), status: "running", file: null });
      } // the second is a long poll of an export that goes on and on
    });
    // no stream that an earlier connection was to have is waited for on this one
    const result = download({ socketTimeoutMs: 1, announced: true });
    await expect.poll(() => asked).toBe(2);
    peer.ready();
    await connecting;
    await opened(3);
    peer.frame(3, 0, bytes);
    seal(3, bytes);
    await expect(result).resolves.toMatchObject({ verified: true });
    expect(sink.bytes).toEqual(bytes);
  });

  it("gives up only after as many failures as its caller has patience for", async () => {
    let asked = 0;
    server.route(`GET /v1/exports/${ID}`, (_, response) => {
      asked += 1;
      problem(response, 503, "unavailable");
    });
    const refused = download({ transport: "rest", maxFailures: 3 });
    await expect(refused).rejects.toMatchObject({ slug: "unavailable" });
    expect(asked).toBe(3);
  });

  it("begins again at 0 when the server says restarted, and mixes no bytes", async () => {
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

  it("tells when bytes stop coming and when they come again, and which try makes them", async () => {
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

  it("as a stream is read as fast as its reader reads, and fails rather than ends when it is not whole", async () => {
    const bytes = someBytes(50);
    const whole = client.stream(ID);
    await opened(1);
    peer.frame(1, 0, bytes);
    seal(1, bytes);
    expect(new Uint8Array(await new Response(whole.readable).arrayBuffer())).toEqual(bytes);
    await expect(whole.done).resolves.toMatchObject({ verified: true });
    const damaged = client.stream(ID);
    await opened(2);
    peer.frame(2, 0, someBytes(50, 7));
    seal(2, bytes);
    await expect(new Response(damaged.readable).arrayBuffer()).rejects.toMatchObject({
      slug: "digest-mismatch",
    });
    const left = client.stream(ID);
    await opened(3);
    await left.readable.cancel();
    expect((await peer.expect("file.close")).stream).toBe(3);
  });

  it("asks again from its own place when a gap shows", async () => {
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

  it("refuses a file whose digest differs from the seal", async () => {
    const result = download();
    await opened(1);
    peer.frame(1, 0, someBytes(50, 1));
    seal(1, someBytes(50, 2));
    await expect(result).rejects.toMatchObject({ slug: "digest-mismatch" });
  });

  it("refuses a file that is shorter than the seal", async () => {
    const bytes = someBytes(50);
    const result = download();
    await opened(1);
    peer.frame(1, 0, bytes.subarray(0, 40));
    seal(1, bytes);
    await expect(result).rejects.toMatchObject({ slug: "digest-mismatch" });
  });

  it("takes the stream that deliver: stream opens by itself, even when its frames come at once", async () => {
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

  it("ends with the problem when the export fails before it has bytes", async () => {
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

  it("ends with the problem when the export is canceled while its bytes come", async () => {
    const result = download();
    await opened(6);
    peer.frame(6, 0, someBytes(10));
    const canceled = { ...completedExport(ID, new Uint8Array(0)), status: "canceled" as const, file: null };
    peer.send({ type: "export.canceled", seq: 1, export: canceled });
    await expect(result).rejects.toMatchObject({ slug: "canceled" });
    expect((await peer.expect("file.close")).stream).toBe(6);
  });

  it("waits while the export has no bytes yet", async () => {
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

  it("goes on from an earlier visit with its hash state", async () => {
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

  it("is used without a socket, and resumes with Range and If-Range where it was cut", async () => {
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
    // what was sent before a line breaks may break with it: it is cut only when all of that is here
    const onProgress = (received: number) => received === 1500 && cut();
    const result = client.download(ID, { sink, onProgress });
    await expect(result).resolves.toMatchObject({ size: 4000, verified: true });
    expect(sink.bytes).toEqual(bytes);
    expect(ranges).toEqual([undefined, "bytes=1500-"]);
  });

  it("waits for the export to complete by long polling", async () => {
    const bytes = someBytes(20);
    const prefers: (string | string[] | undefined)[] = [];
    server.route(`GET /v1/exports/${ID}`, (request, response) => {
      prefers.push(request.headers.prefer);
      const whole = completedExport(ID, bytes);
      json(response, 200, prefers.length < 3 ? { ...whole, status: "running", file: null } : whole);
    });
    server.route(`GET /v1/exports/${ID}/file`, (_, response) => response.end(bytes));
    await expect(client.download(ID, { sink })).resolves.toMatchObject({ verified: true });
    expect(prefers).toEqual([undefined, "wait=20", "wait=20"]);
  });

  it("ends at once when the file is gone", async () => {
    const bytes = someBytes(20);
    server.route(`GET /v1/exports/${ID}`, (_, response) => json(response, 200, completedExport(ID, bytes)));
    server.route(`GET /v1/exports/${ID}/file`, (_, response) => problem(response, 410, "expired"));
    await expect(client.download(ID, { sink })).rejects.toMatchObject({ slug: "expired" });
  });
});
