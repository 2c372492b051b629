import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SluiceClient, SluiceError } from "../src/index.js";
import { completedExport, json, MemorySink, someBytes, TestServer } from "./testServer.js";

describe("a file over HTTP", () => {
  let server: TestServer;
  let client: SluiceClient;

  beforeEach(async () => {
    server = await TestServer.start();
    client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", backoff: { baseMs: 1, capMs: 1 } });
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  it("starts again when another export attempt wrote the file", async () => {
    const [oldBytes, bytes] = [someBytes(400, 7), someBytes(400, 9)];
    server.route("GET /v1/exports/x1", (_, response) =>
      json(response, 200, { ...completedExport("x1", bytes), attempt: 2 }),
    );
    const ranges: (string | undefined)[] = [];
    server.route("GET /v1/exports/x1/file", (request, response) => {
      const { range } = request.headers;
      ranges.push(range);
      const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200).end(bytes.subarray(from));
    });
    const sink = new MemorySink();
    sink.write(oldBytes.subarray(0, 100));
    const attempts: number[] = [];
    const result = await client.download("x1", {
      sink,
      offset: 100,
      attempt: 1,
      onAttempt: (attempt) => attempts.push(attempt),
    });
    expect(Buffer.from(sink.bytes).equals(bytes)).toBe(true);
    expect(result.verified).toBe(true);
    expect(ranges).toEqual([undefined]);
    expect(attempts).toEqual([2]);
  });

  it("resumes the bytes of the same export attempt", async () => {
    const bytes = someBytes(400);
    server.route("GET /v1/exports/x1", (_, response) => json(response, 200, completedExport("x1", bytes)));
    server.route("GET /v1/exports/x1/file", (_, response) =>
      response.writeHead(206).end(bytes.subarray(100)),
    );
    const sink = new MemorySink();
    sink.write(bytes.subarray(0, 100));
    await client.download("x1", { sink, offset: 100, attempt: 1 });
    expect(sink.resets).toBe(0);
    expect(Buffer.from(sink.bytes).equals(bytes)).toBe(true);
  });

  it("is requested again after the idle timeout, from the reached offset", async () => {
    const bytes = someBytes(400);
    const ranges: (string | undefined)[] = [];
    server.route("GET /v1/exports/x1", (_, response) => json(response, 200, completedExport("x1", bytes)));
    server.route("GET /v1/exports/x1/file", (request, response) => {
      ranges.push(request.headers.range);
      const from = /bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1];
      if (from) {
        response.writeHead(206).end(bytes.subarray(Number(from)));
      } else {
        response.writeHead(200).write(bytes.subarray(0, 150)); // no further bytes
      }
    });
    const sink = new MemorySink();
    await client.download("x1", { sink, idleTimeoutMs: 300, maxFailures: 100 });
    // on a slow machine the timeout may also pass before the first byte
    expect([ranges[0], ranges.at(-1)]).toEqual([undefined, "bytes=150-"]);
    expect(Buffer.from(sink.bytes).equals(bytes)).toBe(true);
  });

  it("is no longer sent when the sink fails", async () => {
    const bytes = someBytes(400);
    server.route("GET /v1/exports/x1", (_, response) => json(response, 200, completedExport("x1", bytes)));
    let closed: Promise<void> | undefined;
    server.route("GET /v1/exports/x1/file", (_, response: ServerResponse) => {
      closed = new Promise((resolve) => response.once("close", resolve));
      response.writeHead(200).write(bytes.subarray(0, 100));
    });
    const full = new SluiceError({ slug: "no-room", title: "No room" });
    const sink = {
      write: () => {
        throw full;
      },
      reset: () => undefined,
    };
    await expect(client.download("x1", { sink })).rejects.toBe(full);
    await closed;
  });

  it("is requested again when no response headers arrive", async () => {
    const bytes = someBytes(40);
    let requests = 0;
    server.route("GET /v1/exports/x1", (_, response) => json(response, 200, completedExport("x1", bytes)));
    server.route("GET /v1/exports/x1/file", (_, response) => {
      requests += 1;
      if (requests > 1) {
        response.end(bytes);
      }
    });
    const sink = new MemorySink();
    await client.download("x1", { sink, idleTimeoutMs: 300, maxFailures: 100 });
    expect(requests).toBeGreaterThan(1);
    expect(Buffer.from(sink.bytes).equals(bytes)).toBe(true);
  });
});

describe("the end of an export", () => {
  it("is polled through failures, and final problems are reported at once", async () => {
    const server = await TestServer.start();
    const client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      backoff: { baseMs: 1, capMs: 1 },
    });
    const completed = completedExport("x1", someBytes(4));
    const answers: ((response: ServerResponse) => void)[] = [
      (response) => response.destroy(),
      (response) => response.writeHead(503).end(),
      (response) => json(response, 200, { ...completed, status: "running", file: null }),
      (response) => response.destroy(),
      (response) => json(response, 200, completed),
    ];
    server.route("GET /v1/exports/x1", (_, response) => answers.shift()?.(response));
    await expect(client.exports.waitForEnd("x1")).resolves.toMatchObject({ id: "x1", status: "completed" });
    expect(answers).toHaveLength(0);
    await expect(client.exports.waitForEnd("x2")).rejects.toMatchObject({ slug: "not-found" });
    let requests = 0;
    server.route("GET /v1/exports/x3", (_, response) => {
      requests += 1;
      response.destroy();
    });
    await expect(client.exports.waitForEnd("x3", { maxFailures: 3 })).rejects.toMatchObject({
      slug: "network",
    });
    expect(requests).toBe(3);
    const stop = new AbortController();
    const waiting = client.exports.waitForEnd("x3", {
      maxFailures: Number.POSITIVE_INFINITY,
      signal: stop.signal,
    });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ slug: "aborted" });
    await server.stop();
  });
});
