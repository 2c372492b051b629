import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { Stack } from "../../stack/stack.js";
import { CLOSE_CODES, nodeClient, type SessionState, type SluiceClient } from "../src/node.js";
import { TestSockets } from "./testSockets.js";

/** A stack with low limits. */
let stack: Stack;

beforeAll(async () => {
  stack = await Stack.start({
    name: "close code stack",
    withoutJitter: true,
    env: {
      SLUICE_GATEWAY__MAX_SESSIONS_PER_USER: "2",
      SLUICE_GATEWAY__WS__MAX_MESSAGE_SIZE: "4 KiB",
      // above the rate of the SDK's own pings at this heartbeat, and low enough to exhaust the burst of 20 messages
      SLUICE_GATEWAY__WS__MESSAGES_PER_SECOND: "4",
      // long enough that a slow test machine misses no heartbeat
      SLUICE_GATEWAY__WS__HEARTBEAT_INTERVAL: "2500ms",
      SLUICE_GATEWAY__SHUTDOWN_DELAY: "100ms",
      SLUICE_GATEWAY__SESSION_CLOSE_SPREAD: "100ms",
    },
  });
});
afterAll(() => stack?.stop());

/** Opens a WebSocket without the SDK and completes the handshake, so that a test can violate the protocol. */
async function openRawSocket(
  sub: string,
  options: { autoPong?: boolean; ttlS?: number } = {},
): Promise<WebSocket> {
  const { ttlS = 600, ...more } = options;
  const socket = new WebSocket(`${stack.url.replace("http", "ws")}/v1/ws`, ["sluice.v1"], {
    headers: { authorization: `Bearer ${stack.token(sub, "acme", { ttlS })}` },
    ...more,
  });
  await new Promise((resolve, reject) => {
    socket.once("message", resolve);
    socket.once("error", reject);
    socket.once("close", (code: number) => reject(new Error(String(code))));
  });
  return socket;
}

/** Returns the TCP connection of a WebSocket, on which a test writes bytes that are no valid frame. */
const connectionOf = (socket: WebSocket) => (socket as unknown as { _socket: Duplex })._socket;

const closed = (socket: WebSocket) => new Promise<number>((resolve) => socket.once("close", resolve));

/** For each close code: a function that makes the gateway send the code, or the reason why no test can. */
const TRIGGERS: Record<number, (() => Promise<number>) | string> = {
  1000: "the client sends this code itself",
  1001: async () => {
    const socket = await openRawSocket("user-1001");
    const code = closed(socket);
    await stack.terminate("gateway");
    stack.launch("gateway");
    await stack.ready();
    return code;
  },
  1002: async () => {
    const socket = await openRawSocket("user-1002");
    const code = closed(socket);
    // an unmasked, empty text frame, which the library itself never sends
    connectionOf(socket).write(Buffer.from([0x81, 0x00]));
    return code;
  },
  1007: async () => {
    const socket = await openRawSocket("user-1007");
    const code = closed(socket);
    socket.send(Buffer.from([0xff]), { binary: false });
    return code;
  },
  1009: async () => {
    const socket = await openRawSocket("user-1009");
    const code = closed(socket);
    socket.send(JSON.stringify({ type: "ping", ref: "x".repeat(5_000) }));
    return code;
  },
  4400: async () => {
    const socket = await openRawSocket("user-4400");
    const code = closed(socket);
    socket.send("not JSON");
    return code;
  },
  4401: async () => closed(await openRawSocket("user-4401", { ttlS: 5 })),
  4403: "reserved; not sent in this version; the scripted server of the unit tests sends it",
  4408: async () => closed(await openRawSocket("user-4408", { autoPong: false })),
  4409: async () => {
    const others = [await openRawSocket("user-4409"), await openRawSocket("user-4409")];
    const code = await openRawSocket("user-4409").then(closed, (error: Error) => Number(error.message));
    for (const socket of others) {
      socket.close();
    }
    return code;
  },
  4429: async () => {
    const socket = await openRawSocket("user-4429");
    const code = closed(socket);
    for (let sent = 0; sent < 60; sent += 1) {
      socket.send('{"type":"ping"}');
    }
    return code;
  },
  4500: "an internal error of the gateway; the scripted server of the unit tests sends it",
};

describe("each close code", () => {
  it("is in the table", () => {
    expect(Object.keys(TRIGGERS)).toEqual(Object.keys(CLOSE_CODES));
  });

  const triggered = Object.entries(TRIGGERS).filter(([, how]) => typeof how === "function");
  it.each(triggered)("%s", async (code, how) => {
    expect(await (how as () => Promise<number>)()).toBe(Number(code));
  });
});

describe("the SDK after close code", () => {
  const clients: SluiceClient[] = [];
  const client = (
    sub: string,
    getToken = ({ refresh }: { refresh: boolean }) => stack.token(sub, "acme", { ttlS: refresh ? 600 : 2 }),
  ) => {
    const sdk = nodeClient({ baseUrl: stack.url, getToken, backoff: { baseMs: 10, capMs: 200 } });
    clients.push(sdk);
    return sdk;
  };
  afterAll(() => {
    for (const sdk of clients) {
      sdk.close();
    }
  });

  it("4401 reconnects with a new token", async () => {
    const sessions: string[] = [];
    let renewed = false;
    const sdk = client("sdk-4401", ({ refresh }) => {
      // the SDK also refreshes a token that expires before the session exists; this test does not count that refresh
      renewed ||= refresh && sessions.length > 0;
      // the token expires before the session has time to refresh it
      return stack.token("sdk-4401", "acme", { ttlS: renewed ? 600 : 2 });
    });
    sdk.on("session.ready", (ready) => sessions.push(ready.session_id));
    await sdk.connect();
    await expect.poll(() => sessions.length).toBe(2);
    expect(renewed).toBe(true);
    expect(sdk.state.name).toBe("live");
  });

  /** Violates the protocol on the SDK's own WebSocket. Returns the close code and the SDK's next state. */
  async function violateRule(
    sub: string,
    violation: (sockets: TestSockets) => unknown,
    sockets = new TestSockets(),
  ) {
    const sdk = nodeClient({
      baseUrl: stack.url,
      token: stack.token(sub),
      webSocket: sockets.webSocket,
      backoff: { baseMs: 10, capMs: 200 },
    });
    clients.push(sdk);
    await sdk.connect();
    const code = sockets.nextClose();
    const next = new Promise<SessionState>((resolve) => {
      const off = sdk.onStateChange((state) => {
        off();
        resolve(state);
      });
    });
    await violation(sockets);
    return { sdk, sockets, code: await code, state: await next };
  }

  /** Expects a new session on a new WebSocket, with a resume. */
  async function expectResumed(sdk: SluiceClient, sockets: TestSockets): Promise<void> {
    await expect.poll(() => sdk.state.name).toBe("live");
    await expect.poll(() => sockets.received("session.resumed")).toBeGreaterThan(0);
    expect(sockets.opened).toBeGreaterThan(1);
  }

  it("1001 reconnects when the gateway restarts", async () => {
    const { sdk, sockets, code, state } = await violateRule("sdk-1001", async () => {
      await stack.terminate("gateway");
      stack.launch("gateway");
    });
    expect(code).toBe(1001);
    expect(state.name).toBe("reconnecting");
    await expectResumed(sdk, sockets);
  });

  it("1006 reconnects when the gateway is killed", async () => {
    const { sdk, sockets, code, state } = await violateRule("sdk-1006", async () => {
      await stack.kill("gateway");
      stack.launch("gateway");
    });
    expect(code).toBe(1006);
    expect(state.name).toBe("reconnecting");
    await expectResumed(sdk, sockets);
  });

  it("4408 reconnects when the gateway misses a heartbeat", async () => {
    const sockets = new TestSockets({ muteFirst: true });
    const { sdk, code, state } = await violateRule("sdk-4408", () => undefined, sockets);
    expect(code).toBe(4408);
    expect(state.name).toBe("reconnecting");
    await expectResumed(sdk, sockets);
  });

  it("4429 reconnects after a delay", async () => {
    const before = Date.now();
    const { sdk, sockets, code, state } = await violateRule("sdk-4429", (controlled) => {
      for (let sent = 0; sent < 60; sent += 1) {
        controlled.sendRaw('{"type":"ping"}');
      }
    });
    expect(code).toBe(4429);
    expect(state.name === "reconnecting" && state.retryAt - before).toBeGreaterThanOrEqual(5_000);
    await expectResumed(sdk, sockets);
  });

  it.each([
    [1009, "too-large", JSON.stringify({ type: "ping", ref: "x".repeat(5_000) })],
    [4400, "invalid-request", "not JSON"],
  ])("%s closes the session with its problem", async (expected, slug, text) => {
    const { sdk, sockets, code, state } = await violateRule(`sdk-${expected}`, (controlled) =>
      controlled.sendRaw(text),
    );
    expect(code).toBe(expected);
    expect(state).toMatchObject({ name: "closed", error: { slug } });
    expect(sdk.state).toBe(state);
    expect(sockets.opened).toBe(1);
  });

  it("1000 stays closed after a close by the caller", async () => {
    const { sdk, sockets, code, state } = await violateRule("sdk-1000", () => clients.at(-1)?.close());
    expect([1000, 1005]).toContain(code);
    expect(state).toEqual({ name: "closed", error: undefined });
    expect(sdk.state.name).toBe("closed");
    expect(sockets.opened).toBe(1);
  });

  it("4409 closes the session with its problem", async () => {
    const others = [await openRawSocket("sdk-4409"), await openRawSocket("sdk-4409")];
    const sdk = client("sdk-4409", () => stack.token("sdk-4409"));
    await sdk.connect().catch(() => undefined);
    await expect.poll(() => sdk.state.name).toBe("closed");
    expect(sdk.state).toMatchObject({ error: { slug: "rate-limited" } });
    for (const socket of others) {
      socket.close();
    }
  });
});
