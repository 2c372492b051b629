import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Stack } from "../../stack/stack.js";
import { connect, nodeClient, type SluiceClient, type SluiceEvent } from "../src/node.js";
import { Tap } from "./tap.js";

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

/** Event streams over HTTP that a test can cut and hold back; with which id each was asked for. */
class Line {
  readonly asked: (string | null)[] = [];
  #held = false;
  #cut = new AbortController();

  readonly fetch: typeof fetch = (input, init) => {
    if (new URL(String(input)).pathname !== "/v1/events") {
      return fetch(input, init);
    }
    if (this.#held) {
      return Promise.reject(new TypeError("no line"));
    }
    this.asked.push(new Headers(init?.headers).get("last-event-id"));
    const signals = [this.#cut.signal, ...(init?.signal ? [init.signal] : [])];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  cut(): void {
    this.#held = true;
    this.#cut.abort(new TypeError("the line was cut"));
    this.#cut = new AbortController();
  }

  mend(): void {
    this.#held = false;
  }
}

/** What a client is told, and how often it is told that something was lost. */
function follow(sub: string, tap: Tap, line: Line) {
  client = nodeClient({
    baseUrl: stack.url,
    token: stack.token(sub),
    webSocket: tap.webSocket,
    fetch: line.fetch,
    backoff: { baseMs: 10, capMs: 100 },
  });
  const told: SluiceEvent[] = [];
  let lost = 0;
  client.on("export.completed", (event) => told.push(event));
  client.on("credits.changed", (event) => told.push(event));
  client.onResync(() => {
    lost += 1;
  });
  const completed = () =>
    told.flatMap((event) => (event.type === "export.completed" ? [event.export.id] : []));
  const numbers = () => told.flatMap((event) => ("seq" in event ? [event.seq] : []));
  return { completed, numbers, lost: () => lost };
}

/**
 * Has an export made that the client under test is not told of, and waits until another one of the same person has been
 * told all of it: what is told later than that would be no missed event, and may come before those that are.
 */
async function behindTheBack(sub: string): Promise<string> {
  const token = stack.token(sub);
  const witness = await connect({ baseUrl: stack.url, token });
  try {
    const told: string[] = [];
    witness.on("export.completed", (event) => told.push(event.export.id));
    witness.on("credits.changed", (event) => told.push(event.reason));
    const response = await stack.rest("POST", "/v1/exports", SMALL, token);
    const { id } = (await response.json()) as { id: string };
    // the capture behind it is its own; one before it may be of an earlier export
    const rest = () => (told.includes("hold") && told.includes(id) ? told.slice(told.indexOf(id)) : []);
    await expect.poll(rest).toContain("capture");
    return id;
  } finally {
    witness.close();
  }
}

/** Each number once, in the order in which it was given. */
function inOrder(numbers: number[]): void {
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
}

describe("events that were missed", () => {
  it("on a socket come on the next one, each once", async () => {
    const [tap, line] = [new Tap(), new Line()];
    const seen = follow("dora", tap, line);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    line.cut(); // nor do they come over HTTP meanwhile
    tap.block(true);
    tap.cut();
    const missed = await behindTheBack("dora");
    expect(seen.completed()).not.toContain(missed);
    tap.block(false);
    await expect.poll(seen.completed).toEqual([first, missed]);
    await expect.poll(() => tap.received("session.resumed")).toBe(1);
    expect(seen.lost()).toBe(0);
    inOrder(seen.numbers());
  });

  it("on a cut event stream come on the next one, by Last-Event-ID", async () => {
    const [tap, line] = [new Tap(), new Line()];
    tap.block(true);
    const seen = follow("emil", tap, line);
    await expect(client.connect()).resolves.toEqual({ name: "fallback", via: "sse" });
    expect(line.asked).toEqual([null]);
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    line.cut();
    const missed = await behindTheBack("emil");
    expect(seen.completed()).not.toContain(missed);
    line.mend();
    await expect.poll(seen.completed).toEqual([first, missed]);
    expect(line.asked.at(-1)).toMatch(/^[^:]+:\d+$/);
    expect(seen.lost()).toBe(0);
    inOrder(seen.numbers());
  });

  it("between a socket and an event stream come on either, in both directions", async () => {
    const [tap, line] = [new Tap(), new Line()];
    const seen = follow("frida", tap, line);
    await client.connect();
    const first = (await client.exports.create(SMALL)).export.id;
    await expect.poll(seen.completed).toContain(first);
    line.cut();
    tap.block(true);
    tap.cut();
    const second = await behindTheBack("frida");
    line.mend();
    await expect.poll(seen.completed).toEqual([first, second]);
    expect(client.state).toEqual({ name: "fallback", via: "sse" });
    expect(line.asked[0]).toMatch(/^[^:]+:\d+$/); // the first of them goes on where the socket left off
    line.cut();
    const third = await behindTheBack("frida");
    tap.block(false);
    await expect.poll(seen.completed).toEqual([first, second, third]);
    await expect.poll(() => client.state.name).toBe("live");
    expect(seen.lost()).toBe(0);
    inOrder(seen.numbers());
  });

  it("that nobody can tell any more are said to be lost", async () => {
    const [tap, line] = [new Tap(), new Line()];
    tap.block(true);
    const other: string[] = [];
    const forging: typeof fetch = (input, init) => {
      const headers = new Headers(init?.headers);
      if (headers.has("last-event-id")) {
        other.push(headers.get("last-event-id") ?? "");
        headers.set("last-event-id", "of-another-stream:1");
      }
      return line.fetch(input, { ...init, headers });
    };
    client = nodeClient({
      baseUrl: stack.url,
      token: stack.token("gustav"),
      webSocket: tap.webSocket,
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
    line.cut();
    line.mend();
    await expect.poll(() => lost).toBe(1);
    expect(other).toHaveLength(1);
    // and from there on it follows as before
    const told = new Promise<string>((resolve) => client.on("export.completed", (e) => resolve(e.export.id)));
    const id = await behindTheBack("gustav");
    expect(await told).toBe(id);
  });
});
