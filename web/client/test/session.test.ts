import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import {
  type CreditsChanged,
  type SessionState,
  SluiceClient,
  type SluiceClientOptions,
  type WebSocketConstructor,
} from "../src/index.js";
import { completedExport, json, problem, TestServer } from "./testServer.js";

const webSocket = NodeWebSocket as unknown as WebSocketConstructor;
const changed = (seq: number): CreditsChanged => ({
  type: "credits.changed",
  seq,
  balance: seq,
  held: 0,
  reason: "grant",
});

describe("session", () => {
  let server: TestServer;
  let client: SluiceClient;

  const createClient = (more: Partial<SluiceClientOptions> = {}) => {
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      token: "t",
      webSocket,
      backoff: { baseMs: 1 },
      ...more,
    });
    return client;
  };
  const reaches = (name: SessionState["name"]) =>
    new Promise<SessionState>((resolve) => {
      const off = client.onStateChange((state) => {
        if (state.name === name) {
          off();
          resolve(state);
        }
      });
    });

  beforeEach(async () => {
    server = await TestServer.start();
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  it("is live only after session.ready", async () => {
    const connecting = createClient().connect();
    const peer = await server.accept();
    expect(client.state.name).toBe("connecting");
    peer.ready();
    await expect(connecting).resolves.toMatchObject({
      name: "live",
      ready: { sub: "alice", tenant: "acme" },
    });
    expect(client.state.name).toBe("live");
  });

  it("reconnects with a new ticket and resumes after the last event, without duplicates", async () => {
    const seen: number[] = [];
    createClient().on("credits.changed", (event) => seen.push(event.seq));
    const connecting = client.connect();
    const first = await server.accept();
    first.ready({ seq: 3 });
    await connecting;
    const got = new Promise<void>((resolve) => client.on("credits.changed", () => resolve()));
    first.send(changed(4));
    await got;
    first.disconnect();
    const second = await server.accept();
    second.ready({ seq: 6 });
    const resume = await second.expect("session.resume");
    expect(resume).toMatchObject({ epoch: "e1", seq: 4 });
    const last = new Promise<void>((resolve) =>
      client.on("credits.changed", (event) => (event.seq === 6 ? resolve() : undefined)),
    );
    second.send(changed(4));
    second.send(changed(5));
    second.send({ type: "session.resumed", ref: resume.ref ?? "", recovered: true, replayed: 2 });
    second.send(changed(6));
    await last;
    expect(seen).toEqual([4, 5, 6]);
    expect(server.tickets).toHaveLength(2);
  });

  it("reports lost events", async () => {
    const connecting = createClient().connect();
    const first = await server.accept();
    first.ready({ seq: 3 });
    await connecting;
    const lost = new Promise<void>((resolve) => client.onResync(() => resolve()));
    first.close(1001);
    const second = await server.accept();
    second.ready({ epoch: "e2", seq: 1 });
    const resume = await second.expect("session.resume");
    second.send({ type: "session.resumed", ref: resume.ref ?? "", recovered: false, replayed: 0 });
    await lost;
  });

  it("requests a new token after 4401", async () => {
    let token = "old";
    createClient({
      getToken: ({ refresh }) => {
        token = refresh ? "new" : token;
        return token;
      },
    });
    const connecting = client.connect();
    const first = await server.accept();
    first.ready();
    await connecting;
    first.close(4401);
    (await server.accept()).ready();
    expect(server.authorizations).toEqual(["Bearer old", "Bearer new"]);
  });

  it("does not reconnect after 4403", async () => {
    const connecting = createClient().connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    const closed = reaches("closed");
    peer.close(4403);
    await expect(closed).resolves.toMatchObject({ error: { slug: "forbidden" } });
  });

  it("rejects connect with the problem of a refused ticket", async () => {
    server.route("POST /v1/tickets", (_, response) => problem(response, 401, "unauthorized"));
    await expect(createClient().connect()).rejects.toMatchObject({ slug: "unauthorized" });
    expect(client.state.name).toBe("closed");
  });

  it("refreshes its token over the WebSocket before it expires", async () => {
    let count = 0;
    createClient({ getToken: ({ refresh }) => (refresh ? `t${++count}` : "t0") });
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready({ expiresInMs: 6_000 }); // the client refreshes only when more than two seconds are left
    await connecting;
    const refresh = await peer.expect("session.refresh");
    expect(refresh.token).toBe("t1");
    peer.send({
      type: "session.refreshed",
      ref: refresh.ref ?? "",
      token_expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    expect(client.state.name).toBe("live");
  });

  it("detects a silent peer", async () => {
    const connecting = createClient().connect();
    const silent = await server.accept();
    silent.ready({ heartbeatMs: 20 });
    await connecting;
    await silent.expect("ping");
    const second = await server.accept();
    second.ready();
    await second.expect("session.resume");
  });

  it("rejects a request with the server's problem, by ref", async () => {
    const connecting = createClient().connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    const starting = client.exports.create({ dataset: "nope" });
    const create = await peer.expect("export.create");
    expect(create).toMatchObject({ dataset: "nope", deliver: "notify" });
    peer.send({
      type: "error",
      ref: create.ref ?? "",
      problem: { type: "/problems/unknown-dataset", title: "Unknown dataset", status: 422, detail: "" },
    });
    await expect(starting).rejects.toMatchObject({ slug: "unknown-dataset" });
  });

  it("retries over REST with the same key when the answer to a create is lost", async () => {
    const connecting = createClient().connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    const key = new Promise((resolve) => {
      server.route("POST /v1/exports", (request, response) => {
        resolve(request.headers["idempotency-key"]);
        json(response, 202, completedExport("x1", new Uint8Array(1)));
      });
    });
    const starting = client.exports.create({ dataset: "flights" });
    const create = await peer.expect("export.create");
    peer.disconnect();
    await expect(starting).resolves.toMatchObject({ export: { id: "x1" } });
    expect(await key).toBe(create.idempotency_key);
  });

  it("a listener that throws affects neither the connection nor the other listeners", async () => {
    const reported = vi.fn();
    vi.stubGlobal("reportError", reported);
    const seen: number[] = [];
    createClient().on("credits.changed", () => {
      throw new Error("no notifications here");
    });
    client.on("credits.changed", (event) => seen.push(event.seq));
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    peer.send(changed(1));
    peer.send(changed(2));
    await expect.poll(() => seen).toEqual([1, 2]);
    vi.unstubAllGlobals();
    expect(reported).toHaveBeenCalledTimes(2);
    expect(client.state.name).toBe("live");
    expect(server.tickets).toHaveLength(1);
  });

  it("resumes from the same position when the connection breaks before the missed events", async () => {
    const seen: number[] = [];
    createClient().on("credits.changed", (event) => seen.push(event.seq));
    const connecting = client.connect();
    const first = await server.accept();
    first.ready({ seq: 3 });
    await connecting;
    first.disconnect();
    const second = await server.accept();
    second.ready({ seq: 6 });
    expect(await second.expect("session.resume")).toMatchObject({ seq: 3 });
    second.send(changed(7)); // pushed before the missed events
    await expect.poll(() => seen).toEqual([7]);
    second.disconnect();
    const third = await server.accept();
    third.ready({ seq: 7 });
    const resume = await third.expect("session.resume");
    expect(resume).toMatchObject({ seq: 3 });
    third.send({ type: "session.resumed", ref: resume.ref ?? "", recovered: true, replayed: 4 });
    for (const seq of [4, 5, 6, 7]) {
      third.send(changed(seq));
    }
    third.send(changed(8)); // the repeated 7 has arrived before it
    await expect.poll(() => seen).toEqual([7, 4, 5, 6, 8]);
    third.disconnect();
    const fourth = await server.accept();
    fourth.ready({ seq: 8 });
    expect(await fourth.expect("session.resume")).toMatchObject({ seq: 8 });
  });

  it("aborts a create with its signal, and sends none that was aborted before", async () => {
    let restRequests = 0;
    server.route("POST /v1/exports", (_, response) => {
      restRequests += 1;
      problem(response, 500, "internal");
    });
    const connecting = createClient().connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    const stop = new AbortController();
    const creating = client.exports.create({ dataset: "flights" }, { signal: stop.signal });
    await peer.expect("export.create");
    stop.abort();
    await expect(creating).rejects.toMatchObject({ slug: "aborted" });
    const another = client.exports.create({ dataset: "flights" }, { signal: stop.signal });
    await expect(another).rejects.toMatchObject({ slug: "aborted" });
    expect(peer.unread).toHaveLength(0);
    expect(restRequests).toBe(0);
  });

  it("reports that no token is available, whatever the provider throws", async () => {
    createClient({
      getToken: () => {
        throw new TypeError("Failed to fetch");
      },
    });
    const refused = client.credits().catch((cause: unknown) => cause);
    expect(await refused).toMatchObject({ name: "SluiceError", slug: "network", detail: "Failed to fetch" });
  });

  it("rejects a request after its timeout", async () => {
    createClient({ requestTimeoutMs: 20 });
    server.route("POST /v1/exports", (_, response) => problem(response, 422, "invalid-request"));
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    await expect(client.exports.create({ dataset: "flights" })).rejects.toMatchObject({
      slug: "invalid-request",
    });
    expect((await peer.expect("export.create")).dataset).toBe("flights");
  });
});
