import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { damagedDataset, ORDERS } from "../../stack/damagedDataset.js";
import { configuredJitter } from "../../stack/jitterProxy.js";
import { Stack } from "../../stack/stack.js";
import {
  connect,
  type Export,
  nodeClient,
  type ServerMessage,
  type SluiceClient,
  SluiceError,
  saveFile,
} from "../src/node.js";

let stack: Stack;
let folder: string;
let client: SluiceClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-real-"));
  await damagedDataset(join(folder, "orders.parquet"));
  stack = await Stack.start({
    name: "SDK stack",
    datasets: folder,
    catalog: ORDERS,
    env: { SLUICE_EXPORTER__MAX_ATTEMPTS: "1" },
  });
  stack.grant("alice", "acme", 100);
  client = await connect({ baseUrl: stack.url, token: stack.token() });
});
afterAll(async () => {
  client?.close();
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Resolves with the next message of a type that matches. */
function next<T extends ServerMessage["type"]>(
  type: T,
  fits: (message: Extract<ServerMessage, { type: T }>) => boolean = () => true,
): Promise<Extract<ServerMessage, { type: T }>> {
  return new Promise((resolve) => {
    const off = client.on(type, (message) => {
      const found = message as Extract<ServerMessage, { type: T }>;
      if (fits(found)) {
        off();
        resolve(found);
      }
    });
  });
}

const ofExport = (id: string) => (message: { export: Export }) => message.export.id === id;
const discard = { write: () => undefined, reset: () => undefined };

/** The messages about schedules, whose moments are minutes apart. The tests of the notifier trigger them. */
type OfSchedules = "export.unchanged" | "schedule.paused";

/** For each other message: a function that makes the gateway send it. The compiler rejects a table that lacks one. */
const TRIGGERS: Record<
  Exclude<ServerMessage["type"], OfSchedules>,
  () => Promise<ServerMessage | undefined>
> = {
  "session.ready": async () => {
    const ready = next("session.ready");
    const resumed = next("session.resumed");
    client.close();
    void client.connect();
    await resumed; // otherwise a late `session.resumed` would count for the next session
    return ready;
  },
  "session.resumed": async () => {
    const resumed = next("session.resumed");
    await stack.kill("gateway");
    stack.launch("gateway");
    return resumed;
  },
  "session.refreshed": async () => {
    let given = 0;
    // the SDK refreshes at four fifths; the last fifth must be longer than a stall of the proxy
    const firstTtlS = configuredJitter() > 0 ? 40 : 12;
    const fresh = await connect({
      baseUrl: stack.url,
      getToken: ({ refresh }) => {
        given += refresh ? 1 : 0;
        return stack.token("alice", "acme", { ttlS: refresh ? 3600 : firstTtlS });
      },
    });
    const refreshed = await new Promise<ServerMessage>((resolve) => fresh.on("session.refreshed", resolve));
    expect(given).toBe(1);
    fresh.close();
    return refreshed;
  },
  "export.accepted": async () => {
    const accepted = next("export.accepted");
    await client.exports.create({ dataset: "muscles" });
    return accepted;
  },
  "export.progress": async () => {
    const progress = next("export.progress", (message) => message.progress.rows > 0);
    const created = await client.exports.create({ dataset: "flights" });
    const seen = await progress;
    await client.exports.cancel(created.export.id);
    return seen;
  },
  "export.completed": async () => {
    const { export: item } = await client.exports.create({ dataset: "menus" });
    const done = await client.exports.waitForEnd(item.id);
    expect(done.status).toBe("completed");
    // an export may end right after its creation
    const received: Extract<ServerMessage, { type: "export.completed" }>[] = [];
    const off = client.on("export.completed", (message) => received.push(message));
    const { export: second } = await client.exports.create({ dataset: "menus", columns: ["name"] });
    await expect.poll(() => received.some(ofExport(second.id))).toBe(true);
    off();
    return received.find(ofExport(second.id));
  },
  "export.failed": async () => {
    const failed = next("export.failed");
    const { export: item } = await client.exports.create({ dataset: "orders" });
    const message = await failed;
    expect(message.export).toMatchObject({ id: item.id, problem: { type: "/problems/export-failed" } });
    return message;
  },
  "export.canceled": async () => {
    await stack.pause("exporter"); // otherwise the export may complete first
    try {
      const { export: item } = await client.exports.create({ dataset: "flights" });
      const canceled = next("export.canceled", ofExport(item.id));
      await client.exports.cancel(item.id);
      return await canceled;
    } finally {
      stack.resume("exporter");
    }
  },
  "export.expired": async () => {
    const { export: item } = await client.exports.create({ dataset: "menus", columns: ["id"] });
    await client.exports.waitForEnd(item.id);
    const expired = next("export.expired", ofExport(item.id));
    await client.exports.cancel(item.id); // cancel deletes the file of a completed export
    return expired;
  },
  "credits.changed": async () => {
    const changed = next("credits.changed");
    await client.exports.create({ dataset: "muscles", columns: ["id"] });
    return changed;
  },
  "file.opened": async () => {
    const opened = next("file.opened");
    await client.download(await completedExportId(), { sink: discard });
    return opened;
  },
  "file.sealed": async () => {
    const sealed = next("file.sealed");
    await client.download(await completedExportId(), { sink: discard });
    return sealed;
  },
  "file.closed": async () => {
    const closed = next("file.closed");
    const { export: item } = await client.exports.create({ dataset: "flights", columns: ["date"] });
    const body = client.stream(item.id);
    const reader = body.readable.getReader();
    await reader.read();
    await reader.cancel();
    const message = await closed;
    await client.exports.cancel(item.id);
    return message;
  },
  "operate.state": async () => {
    const operator = await connect({
      baseUrl: stack.url,
      token: stack.token("olga", "operators", { scope: "sluice:operate" }),
    });
    const state = await new Promise<ServerMessage>((resolve) => {
      operator.on("operate.state", resolve);
      operator.operate.watch(() => undefined);
    });
    operator.close();
    return state;
  },
  pong: async () => {
    // the SDK sends a ping only after a heartbeat without data
    const quiet = await Stack.start({
      name: "short heartbeat stack",
      withoutJitter: true,
      env: { SLUICE_GATEWAY__WS__HEARTBEAT_INTERVAL: "150ms" },
    });
    const listener = await connect({ baseUrl: quiet.url, token: quiet.token() });
    const pong = await new Promise<ServerMessage>((resolve) => listener.on("pong", resolve));
    listener.close();
    await quiet.stop();
    return pong;
  },
  error: async () => {
    const error = next("error");
    await expect(client.exports.create({ dataset: "no-such-one" })).rejects.toMatchObject({
      slug: "unknown-dataset",
      errors: [{ pointer: "/dataset" }],
    });
    return error;
  },
};

/** Creates a completed export once and returns its id. */
let completedExport: Promise<string> | undefined;
function completedExportId(): Promise<string> {
  completedExport ??= client.exports
    .create({ dataset: "flights", filter: { origin: { eq: "SEA" } } })
    .then(async (created) => {
      await client.exports.waitForEnd(created.export.id);
      return created.export.id;
    });
  return completedExport;
}

describe("each message of the server", () => {
  it.each(Object.keys(TRIGGERS) as (keyof typeof TRIGGERS)[])("%s", async (type) => {
    const message = await TRIGGERS[type]();
    expect(message?.type).toBe(type);
    await expect.poll(() => client.state.name).toBe("live");
  });
});

describe("the SDK against the real gateway", () => {
  it("delivers the same bytes over the WebSocket, over HTTP, as a stream and to a path", async () => {
    const id = await completedExportId();
    const overHttp = Buffer.from(await (await stack.rest("GET", `/v1/exports/${id}/file`)).arrayBuffer());
    const gathered = async (transport: "auto" | "rest") => {
      const parts: Uint8Array[] = [];
      const sink = {
        write: (chunk: Uint8Array) => void parts.push(chunk.slice()),
        reset: () => void parts.splice(0),
      };
      const result = await client.download(id, { sink, transport });
      expect(result.verified).toBe(true);
      return Buffer.concat(parts);
    };
    expect((await gathered("auto")).equals(overHttp)).toBe(true);
    expect((await gathered("rest")).equals(overHttp)).toBe(true);
    const streamed = Buffer.from(await new Response(client.stream(id).readable).arrayBuffer());
    expect(streamed.equals(overHttp)).toBe(true);
    const path = join(folder, "saved.csv");
    await saveFile(client, id, path);
    expect((await readFile(path)).equals(overHttp)).toBe(true);
  });

  it("resumes the part of an earlier process", async () => {
    const id = await completedExportId();
    const path = join(folder, "later.csv");
    const stop = new AbortController();
    const first = saveFile(client, id, path, {
      signal: stop.signal,
      maxWindow: 64 * 1024,
      window: 64 * 1024,
      onProgress: (received) => received > 500_000 && stop.abort(),
    });
    await expect(first).rejects.toMatchObject({ slug: "aborted" });
    const { size } = await stat(`${path}.part`);
    expect(size).toBeGreaterThan(500_000);
    const positions: number[] = [];
    const other = nodeClient({ baseUrl: stack.url, token: stack.token() });
    const result = await saveFile(other, id, path, { onProgress: (received) => positions.push(received) });
    expect(result.verified).toBe(true);
    expect(positions[0]).toBeGreaterThan(size);
    await expect(stat(`${path}.part`)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("iterates over the events of a running export and downloads its bytes meanwhile", async () => {
    const events = client.events({ types: ["export.progress", "export.completed"] });
    const { export: item, announced } = await client.exports.create(
      { dataset: "flights", filter: { delay: { gte: 10 } } },
      { deliver: "stream" },
    );
    const download = client.download(item.id, { sink: discard, announced });
    let rows = 0;
    for await (const event of events) {
      if (event.type === "export.completed" && event.export.id === item.id) {
        break;
      }
      rows = event.type === "export.progress" ? Math.max(rows, event.progress.rows) : rows;
    }
    expect(rows).toBeGreaterThan(0);
    await expect(download).resolves.toMatchObject({ verified: true });
  });

  it("works without WebSockets, for events and for files", async () => {
    class NoSocket {
      constructor() {
        throw new Error("blocked");
      }
    }
    const withoutSockets = await connect({
      baseUrl: stack.url,
      token: stack.token("bob"),
      webSocket: NoSocket as never,
      backoff: { baseMs: 1, capMs: 50 },
    });
    expect(withoutSockets.state.name).toBe("fallback");
    const completed = new Promise<Export>((resolve) =>
      withoutSockets.on("export.completed", (event) => resolve(event.export)),
    );
    const { export: item } = await withoutSockets.exports.create({ dataset: "muscles" });
    const download = withoutSockets.download(item.id, { sink: discard });
    expect((await completed).id).toBe(item.id);
    await expect(download).resolves.toMatchObject({ verified: true });
    withoutSockets.close();
  });

  it("returns not-found to another tenant, and unauthorized without a valid token", async () => {
    const carol = nodeClient({ baseUrl: stack.url, token: stack.token("carol", "globex") });
    const error = await carol.exports.get(await completedExportId()).catch((cause: unknown) => cause);
    expect(SluiceError.from(error)).toMatchObject({ slug: "not-found", status: 404 });
    const refused = connect({ baseUrl: stack.url, token: "not a token" });
    await expect(refused).rejects.toMatchObject({ slug: "unauthorized" });
  });
});
