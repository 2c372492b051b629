import { expect, it } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { type Overview, SluiceClient, SluiceError, type WebSocketConstructor } from "../src/index.js";
import { json, TestServer } from "./testServer.js";

it("acts name their reason, searches their text, and a refusal is a forbidden problem", async () => {
  const server = await TestServer.start();
  const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
  const calls: string[] = [];
  const bodies: unknown[] = [];
  server.route("POST /v1/operate/pause", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
      json(response, 200, { changed: true });
    });
  });
  server.route("GET /v1/operate/exports", (request, response) => {
    calls.push(request.url ?? "");
    json(response, 200, { items: [], next_cursor: null });
  });
  server.route("GET /v1/operate/overview", (_request, response) => {
    json(response, 403, { type: "/problems/forbidden", title: "Forbidden", status: 403 });
  });
  try {
    await client.operate.pause({ tenant: "acme", user: "bob" }, "floods the queue");
    expect(bodies).toEqual([{ tenant: "acme", user: "bob", reason: "floods the queue" }]);
    expect((await client.operate.exports({ text: "a b", status: "failed" })).items).toEqual([]);
    expect(calls).toEqual(["/v1/operate/exports?text=a+b&status=failed"]);
    const refusal = await client.operate.overview().catch(SluiceError.from);
    expect(refusal).toMatchObject({ slug: "forbidden", status: 403 });
  } finally {
    client.close();
    await server.stop();
  }
});

function overview(running: number): Overview {
  return {
    at: "2026-11-22T15:26:01.123Z",
    totals: { waiting: 0, paused: 0, dispatched: 0, running },
    queue: [],
    queue_omitted: 0,
    failed: 0,
    failures: [],
    dead_letters: 0,
    exporters: [],
    schedule: [],
    pauses: [],
    acts: [],
  };
}

it("a watch begins again after a reconnect, and ends with its last listener", async () => {
  const server = await TestServer.start();
  const webSocket = NodeWebSocket as unknown as WebSocketConstructor;
  const client = new SluiceClient({
    baseUrl: server.baseUrl,
    token: "t",
    webSocket,
    backoff: { baseMs: 1 },
  });
  const seen: number[] = [];
  const stop = client.operate.watch((state) => seen.push(state.totals.running));
  const stopOther = client.operate.watch(() => undefined);
  try {
    const connecting = client.connect();
    const first = await server.accept();
    first.ready();
    await connecting;
    await first.expect("operate.watch");
    const got = new Promise<void>((resolve) => client.on("operate.state", () => resolve()));
    first.send({ type: "operate.state", overview: overview(3) });
    await got;
    first.disconnect();
    const second = await server.accept();
    second.ready();
    await second.expect("operate.watch");
    stop();
    stop();
    stopOther();
    await second.expect("operate.unwatch");
    expect(seen).toEqual([3]);
  } finally {
    client.close();
    await server.stop();
  }
});
