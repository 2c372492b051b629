import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Stack } from "../../stack/stack.js";
import { connect, nodeClient, type SluiceClient, type SluiceEvent } from "../src/node.js";
import { TestSockets } from "./testSockets.js";

let stack: Stack;
let client: SluiceClient;
const SMALL = { dataset: "muscles" };

beforeAll(async () => {
  stack = await Stack.start({ name: "replay stack" });
});
afterEach(() => client?.close());
afterAll(() => stack?.stop());

/** Event streams over HTTP that a test can disconnect and block. Records the Last-Event-ID of each. */
class EventStreamProxy {
  readonly lastEventIds: (string | null)[] = [];
  #paused = false;
  #cut = new AbortController();

  readonly fetch: typeof fetch = (input, init) => {
    if (new URL(String(input)).pathname !== "/v1/events") {
      return fetch(input, init);
    }
    if (this.#paused) {
      return Promise.reject(new TypeError("offline"));
    }
    this.lastEventIds.push(new Headers(init?.headers).get("last-event-id"));
    const signals = [this.#cut.signal, ...(init?.signal ? [init.signal] : [])];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  disconnect(): void {
    this.#paused = true;
    this.#cut.abort(new TypeError("disconnected by the test"));
    this.#cut = new AbortController();
  }

  reconnect(): void {
    this.#paused = false;
  }
}

/** Records the events of a client, and how often it reports lost events. */
function observe(sub: string, sockets: TestSockets, proxy: EventStreamProxy) {
  client = nodeClient({
    baseUrl: stack.url,
    token: stack.token(sub),
    webSocket: sockets.webSocket,
    fetch: proxy.fetch,
    backoff: { baseMs: 10, capMs: 100 },
  });
  const received: SluiceEvent[] = [];
  let lost = 0;
  client.on("export.completed", (event) => received.push(event));
  client.on("credits.changed", (event) => received.push(event));
  client.onResync(() => {
    lost += 1;
  });
  const completed = () =>
    received.flatMap((event) => (event.type === "export.completed" ? [event.export.id] : []));
  const numbers = () => received.flatMap((event) => ("seq" in event ? [event.seq] : []));
  return { completed, numbers, lost: () => lost };
}

/**
 * Creates an export over REST while the client under test is disconnected, and waits until a second client of the same
 * user has received all its events. Events after that would not count as missed.
 */
async function createUnseen(sub: string): Promise<string> {
  const token = stack.token(sub);
  const secondClient = await connect({ baseUrl: stack.url, token });
  try {
    const received: string[] = [];
    secondClient.on("export.completed", (event) => received.push(event.export.id));
    secondClient.on("credits.changed", (event) => received.push(event.reason));
    const response = await stack.rest("POST", "/v1/exports", SMALL, token);
    const { id } = (await response.json()) as { id: string };
    // skips the capture of an earlier export
    const rest = () =>
      received.includes("hold") && received.includes(id) ? received.slice(received.indexOf(id)) : [];
    await expect.poll(rest).toContain("capture");
    return id;
  } finally {
    secondClient.close();
  }
}

/** Expects each number once, in ascending order. */
function expectInOrder(numbers: number[]): void {
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
}

describe("missed events", () => {
  it("of a WebSocket are replayed on the next one, each once", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    const observed = observe("dora", sockets, proxy);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(observed.completed).toContain(first);
    proxy.disconnect(); // blocks HTTP events as well
    sockets.setBlocked(true);
    sockets.disconnect();
    const missed = await createUnseen("dora");
    expect(observed.completed()).not.toContain(missed);
    sockets.setBlocked(false);
    await expect.poll(observed.completed).toEqual([first, missed]);
    await expect.poll(() => sockets.received("session.resumed")).toBe(1);
    expect(observed.lost()).toBe(0);
    expectInOrder(observed.numbers());
  });

  it("of an event stream are replayed on the next one, by Last-Event-ID", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    sockets.setBlocked(true);
    const observed = observe("emil", sockets, proxy);
    await expect(client.connect()).resolves.toEqual({ name: "fallback", transport: "sse" });
    expect(proxy.lastEventIds).toEqual([null]);
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(observed.completed).toContain(first);
    proxy.disconnect();
    const missed = await createUnseen("emil");
    expect(observed.completed()).not.toContain(missed);
    proxy.reconnect();
    await expect.poll(observed.completed).toEqual([first, missed]);
    expect(proxy.lastEventIds.at(-1)).toMatch(/^[^:]+:\d+$/);
    expect(observed.lost()).toBe(0);
    expectInOrder(observed.numbers());
  });

  it("are replayed between a WebSocket and an event stream, in both directions", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    const observed = observe("frida", sockets, proxy);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(observed.completed).toContain(first);
    proxy.disconnect();
    sockets.setBlocked(true);
    sockets.disconnect();
    const second = await createUnseen("frida");
    proxy.reconnect();
    await expect.poll(observed.completed).toEqual([first, second]);
    expect(client.state).toEqual({ name: "fallback", transport: "sse" });
    expect(proxy.lastEventIds[0]).toMatch(/^[^:]+:\d+$/); // the event stream resumes at the WebSocket's position
    proxy.disconnect();
    const third = await createUnseen("frida");
    sockets.setBlocked(false);
    await expect.poll(observed.completed).toEqual([first, second, third]);
    await expect.poll(() => client.state.name).toBe("live");
    expect(observed.lost()).toBe(0);
    expectInOrder(observed.numbers());
  });

  it("that the server can't replay are reported as lost", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    sockets.setBlocked(true);
    const forgedIds: string[] = [];
    const forgeLastEventId: typeof fetch = (input, init) => {
      const headers = new Headers(init?.headers);
      if (headers.has("last-event-id")) {
        forgedIds.push(headers.get("last-event-id") ?? "");
        headers.set("last-event-id", "of-another-stream:1");
      }
      return proxy.fetch(input, { ...init, headers });
    };
    client = nodeClient({
      baseUrl: stack.url,
      token: stack.token("gustav"),
      webSocket: sockets.webSocket,
      fetch: forgeLastEventId,
      backoff: { baseMs: 10, capMs: 100 },
    });
    let lost = 0;
    client.onResync(() => {
      lost += 1;
    });
    const ready = new Promise((resolve) => client.on("session.ready", resolve));
    await client.connect();
    await ready; // it contains the first position to resume after
    proxy.disconnect();
    proxy.reconnect();
    await expect.poll(() => lost).toBe(1);
    expect(forgedIds).toHaveLength(1);
    // the client then receives new events
    const received = new Promise<string>((resolve) =>
      client.on("export.completed", (e) => resolve(e.export.id)),
    );
    const id = await createUnseen("gustav");
    expect(await received).toBe(id);
  });
});
