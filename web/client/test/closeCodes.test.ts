import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { CLOSE_CODES, type SessionState, SluiceClient, type WebSocketConstructor } from "../src/index.js";
import { TestServer } from "./testServer.js";

/**
 * The SDK's reaction to each close code: `again`, `again with a new token`, `later`, or the slug of the error in state
 * `closed`.
 */
const REACTIONS: Record<number, string> = {
  1000: "unavailable",
  1001: "again",
  1002: "invalid-request",
  1007: "invalid-request",
  1009: "too-large",
  4400: "invalid-request",
  4401: "again with a new token",
  4403: "forbidden",
  4408: "again",
  4409: "rate-limited",
  4429: "later",
  4500: "again",
};

/** Minimum delay before the reconnect after 4429 (too many messages), in milliseconds. */
const LATER_MS = 5_000;

describe("after close code", () => {
  let server: TestServer;
  let client: SluiceClient;
  let states: SessionState[];
  let refreshes: number;

  beforeEach(async () => {
    server = await TestServer.start();
    states = [];
    refreshes = 0;
    client = new SluiceClient({
      baseUrl: server.baseUrl,
      getToken: ({ refresh }) => {
        refreshes += refresh ? 1 : 0;
        return "t";
      },
      webSocket: NodeWebSocket as unknown as WebSocketConstructor,
      backoff: { baseMs: 1, capMs: 1 },
    });
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  /** Returns the state that follows the end of a session. */
  async function after(
    end: (peer: Awaited<ReturnType<TestServer["accept"]>>) => void,
  ): Promise<SessionState> {
    const connecting = client.connect();
    const peer = await server.accept();
    peer.ready();
    await connecting;
    client.onStateChange((state) => states.push(state));
    const changed = new Promise<SessionState>((resolve) => {
      const off = client.onStateChange((state) => {
        off();
        resolve(state);
      });
    });
    end(peer);
    return changed;
  }

  async function comesBack(): Promise<void> {
    const next = await server.accept();
    next.ready();
    await next.expect("session.resume");
    expect(client.state.name).toBe("live");
  }

  it("the table has every code of the protocol", () => {
    expect(Object.keys(REACTIONS)).toEqual(Object.keys(CLOSE_CODES));
  });

  it.each(Object.entries(REACTIONS))("%s: %s", async (code, reaction) => {
    const before = Date.now();
    const state = await after((peer) => peer.close(Number(code)));
    if (reaction === "later") {
      expect(state).toMatchObject({ name: "reconnecting" });
      expect(state.name === "reconnecting" && state.retryAt - before).toBeGreaterThanOrEqual(LATER_MS);
      client.retryNow();
      await comesBack();
    } else if (reaction.startsWith("again")) {
      expect(state).toMatchObject({ name: "reconnecting" });
      await comesBack();
    } else {
      expect(state).toMatchObject({ name: "closed", error: { slug: reaction } });
      expect(server.tickets).toHaveLength(1);
    }
    expect(refreshes).toBe(reaction === "again with a new token" ? 1 : 0);
  });

  it("1006 (no close frame): again", async () => {
    expect(await after((peer) => peer.disconnect())).toMatchObject({ name: "reconnecting" });
    await comesBack();
  });

  it("an unknown code: by its range", async () => {
    expect(await after((peer) => peer.close(4499))).toMatchObject({ name: "closed" });
    expect(await after((peer) => peer.close(4599))).toMatchObject({ name: "reconnecting" });
  });
});
