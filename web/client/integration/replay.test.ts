import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Stack } from "../../stack/stack.js";
import { connect, nodeClient, type SluiceClient, type SluiceEvent } from "../src/node.js";
import { TestSockets } from "./testSockets.js";

let stack: Stack;
let client: SluiceClient;
const SMALL = { dataset: "muscles" };

beforeAll(async () => {
  stack = await Stack.start({
    name: "the stack of missed events",
    files: { "muscles.csv": "id,name\n1,biceps\n2,triceps\n" },
  });
});
afterEach(() => client?.close());
afterAll(() => stack?.stop());

/** Event streams over HTTP that a test can cut and hold back; with which id each was lastEventIds for. */
class EventStreamProxy {
  readonly lastEventIds: (string | null)[] = [];
  #paused = false;
  #cut = new AbortController();

  readonly fetch: typeof fetch = (input, init) => {
    if (new URL(String(input)).pathname !== "/v1/events") {
      return fetch(input, init);
    }
    if (this.#paused) {
      return Promise.reject(new TypeError("no proxy"));
    }
    this.lastEventIds.push(new Headers(init?.headers).get("last-event-id"));
    const signals = [this.#cut.signal, ...(init?.signal ? [init.signal] : [])];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  disconnect(): void {
    this.#paused = true;
    this.#cut.abort(new TypeError("the proxy was cut"));
    this.#cut = new AbortController();
  }

  reconnect(): void {
    this.#paused = false;
  }
}

/** What a client is received, and how often it is received that something was lost. */
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
 * Has an export made that the client under test is not received of, and waits until another one of the same person has been
 * received all of it: what is received later than that would be no missed event, and may come before those that are.
 */
async function createUnseen(sub: string): Promise<string> {
  const token = stack.token(sub);
  const witness = await connect({ baseUrl: stack.url, token });
  try {
    const received: string[] = [];
    witness.on("export.completed", (event) => received.push(event.export.id));
    witness.on("credits.changed", (event) => received.push(event.reason));
    const response = await stack.rest("POST", "/v1/exports", SMALL, token);
    const { id } = (await response.json()) as { id: string };
    // the capture behind it is its own; one before it may be of an earlier export
    const rest = () =>
      received.includes("hold") && received.includes(id) ? received.slice(received.indexOf(id)) : [];
    await expect.poll(rest).toContain("capture");
    return id;
  } finally {
    witness.close();
  }
}

/** Each number once, in the order in which it was given. */
function expectInOrder(numbers: number[]): void {
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
}

describe("events that were missed", () => {
  it("on a socket come on the next one, each once", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    const seen = observe("dora", sockets, proxy);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    proxy.disconnect(); // nor do they come over HTTP meanwhile
    sockets.setBlocked(true);
    sockets.disconnect();
    const missed = await createUnseen("dora");
    expect(seen.completed()).not.toContain(missed);
    sockets.setBlocked(false);
    await expect.poll(seen.completed).toEqual([first, missed]);
    await expect.poll(() => sockets.received("session.resumed")).toBe(1);
    expect(seen.lost()).toBe(0);
    expectInOrder(seen.numbers());
  });

  it("on a cut event stream come on the next one, by Last-Event-ID", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    sockets.setBlocked(true);
    const seen = observe("emil", sockets, proxy);
    await expect(client.connect()).resolves.toEqual({ name: "fallback", transport: "sse" });
    expect(proxy.lastEventIds).toEqual([null]);
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    proxy.disconnect();
    const missed = await createUnseen("emil");
    expect(seen.completed()).not.toContain(missed);
    proxy.reconnect();
    await expect.poll(seen.completed).toEqual([first, missed]);
    expect(proxy.lastEventIds.at(-1)).toMatch(/^[^:]+:\d+$/);
    expect(seen.lost()).toBe(0);
    expectInOrder(seen.numbers());
  });

  it("between a socket and an event stream come on either, in both directions", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    const seen = observe("frida", sockets, proxy);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    proxy.disconnect();
    sockets.setBlocked(true);
    sockets.disconnect();
    const second = await createUnseen("frida");
    proxy.reconnect();
    await expect.poll(seen.completed).toEqual([first, second]);
    expect(client.state).toEqual({ name: "fallback", transport: "sse" });
    expect(proxy.lastEventIds[0]).toMatch(/^[^:]+:\d+$/); // the first of them goes on where the socket left off
    proxy.disconnect();
    const third = await createUnseen("frida");
    sockets.setBlocked(false);
    await expect.poll(seen.completed).toEqual([first, second, third]);
    await expect.poll(() => client.state.name).toBe("live");
    expect(seen.lost()).toBe(0);
    expectInOrder(seen.numbers());
  });

  it("that nobody can tell any more are said to be lost", async () => {
    const [sockets, proxy] = [new TestSockets(), new EventStreamProxy()];
    sockets.setBlocked(true);
    const other: string[] = [];
    const forging: typeof fetch = (input, init) => {
      const headers = new Headers(init?.headers);
      if (headers.has("last-event-id")) {
        other.push(headers.get("last-event-id") ?? "");
        headers.set("last-event-id", "of-another-stream:1");
      }
      return proxy.fetch(input, { ...init, headers });
    };
    client = nodeClient({
      baseUrl: stack.url,
      token: stack.token("gustav"),
      webSocket: sockets.webSocket,
      fetch: forging,
      backoff: { baseMs: 10, capMs: 100 },
    });
    let lost = 0;
    client.onResync(() => {
      lost += 1;
    });
    const ready = new Promise((resolve) => client.on("session.ready", resolve));
    await client.connect();
    await ready; // with it comes the first place to go on from
    proxy.disconnect();
    proxy.reconnect();
    await expect.poll(() => lost).toBe(1);
    expect(other).toHaveLength(1);
    // and from there on it follows as before
    const received = new Promise<string>((resolve) =>
      client.on("export.completed", (e) => resolve(e.export.id)),
    );
    const id = await createUnseen("gustav");
    expect(await received).toBe(id);
  });
});
