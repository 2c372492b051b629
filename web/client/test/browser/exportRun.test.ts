import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ExportRun, type ExportRunOptions } from "../../src/browser/exportRun.js";
import type { RunPhase } from "../../src/browser/runState.js";
import type { WebSocketConstructor } from "../../src/connection.js";
import type { Export } from "../../src/protocol.js";
import { completedExport, digestOf, json, problem, someBytes, TestServer } from "../testServer.js";

const bytes = someBytes(5_000);
const done = completedExport("e1", bytes);
const queued: Export = {
  ...done,
  status: "queued",
  file: null,
  progress: { rows: 0, rows_total: null, bytes: 0, queue_position: 2, eta_ms: null },
};

let server: TestServer;
/** What `GET /v1/exports/e1` answers. */
let current: Export;
let deleted: string[];
let created: number;

beforeEach(async () => {
  server = await TestServer.start();
  current = queued;
  deleted = [];
  created = 0;
  server.route("POST /v1/exports", (_request, response) => {
    created += 1;
    json(response, 202, queued);
  });
  server.route("GET /v1/exports/e1", (_request, response) => json(response, 200, current));
  server.route("DELETE /v1/exports/e1", (_request, response) => {
    deleted.push("e1");
    json(response, 202, { ...queued, status: "canceled" });
  });
});
afterEach(() => server.stop());

function newRun(more: Partial<ExportRunOptions> = {}) {
  const saved: File[] = [];
  const phases: RunPhase[] = [];
  const run = new ExportRun({
    baseUrl: server.baseUrl,
    token: "secret",
    webSocket: WebSocket as unknown as WebSocketConstructor,
    backoff: { baseMs: 1, capMs: 5 },
    save: (file) => saved.push(file),
    ...more,
  });
  run.subscribe(({ phase }) => {
    if (phases.at(-1) !== phase) {
      phases.push(phase);
    }
  });
  return { run, saved, phases };
}

/** Sends the whole file over the WebSocket. */
async function serve(content = bytes): Promise<void> {
  const peer = await server.accept();
  peer.ready();
  const { ref } = await peer.expect("file.open");
  peer.send({ type: "file.opened", ref, stream: 1, export_id: "e1", offset: 0, attempt: 1 });
  peer.frame(1, 0, content);
  current = completedExport("e1", content);
  peer.send({ type: "export.completed", seq: 1, export: current });
  peer.send({ type: "file.sealed", stream: 1, size: content.length, rows: 1, sha256: digestOf(content) });
}

describe("an export run", () => {
  it("saves the verified file under the name of the server", async () => {
    const { run, saved, phases } = newRun();
    const ended = run.start({ dataset: "flights" });
    await serve();
    expect(await ended).toMatchObject({ phase: "saved", file: { name: "f.csv" }, received: bytes.length });
    // bytes and the end of the export may arrive in any order
    expect(phases.filter((phase) => phase !== "running")).toEqual(["starting", "queued", "saving", "saved"]);
    expect(saved.map(({ name, type }) => [name, type])).toEqual([["f.csv", "text/csv"]]);
    expect(digestOf(new Uint8Array((await saved[0]?.arrayBuffer()) ?? []))).toBe(digestOf(bytes));
    run.reset();
    expect(run.state.phase).toBe("idle");
  });

  it("ignores a second start while it runs", async () => {
    const { run } = newRun();
    const ended = run.start({ dataset: "flights" });
    expect((await run.start({ dataset: "other" })).phase).not.toBe("saved");
    await serve();
    await ended;
    expect(created).toBe(1);
  });

  it("shows the refusal of the server, and starts again on retry", async () => {
    const connected = server.accept(); // so that the retry's connection is the second one
    server.route("POST /v1/exports", (_request, response) => {
      void connected.then(() => problem(response, 429, "credits-exhausted"));
    });
    const { run } = newRun();
    expect(await run.start({ dataset: "flights" })).toMatchObject({
      phase: "failed",
      error: { slug: "credits-exhausted" },
    });
    server.route("POST /v1/exports", (_request, response) => json(response, 202, queued));
    const ended = run.retry();
    await serve();
    expect((await ended).phase).toBe("saved");
  });

  it("fetches the file again without a new export when saving has failed", async () => {
    const { run, saved } = newRun();
    const failing = new ExportRun({
      baseUrl: server.baseUrl,
      token: "secret",
      webSocket: WebSocket as unknown as WebSocketConstructor,
      save: (file) => {
        if (saved.push(file) === 1) {
          throw new Error("no downloads here");
        }
      },
    });
    const ended = failing.start({ dataset: "flights" });
    await serve();
    expect(await ended).toMatchObject({ phase: "failed", error: { slug: "sink" } });
    const again = failing.retry();
    await serve();
    expect((await again).phase).toBe("saved");
    expect(created).toBe(1);
    expect(run.state.phase).toBe("idle");
  });

  it("cancels an unfinished export at once, and never a completed one", async () => {
    const { run } = newRun();
    const ended = run.start({ dataset: "flights" });
    const peer = await server.accept();
    peer.ready();
    await peer.expect("file.open");
    run.cancel();
    expect(run.state.phase).toBe("canceling");
    expect(await ended).toMatchObject({ phase: "failed", error: { slug: "canceled" } });
    expect(deleted).toEqual(["e1"]);

    const second = run.start({ dataset: "flights" });
    const next = await server.accept();
    next.ready();
    await next.expect("file.open");
    current = done;
    run.cancel();
    expect(await second).toMatchObject({ phase: "failed", error: { slug: "aborted" } });
    expect(run.resumable).toBe(true);
    expect(deleted).toEqual(["e1"]);
  });
});

/** Starts a run whose export waits in the queue. */
async function queuedRun(more: Partial<ExportRunOptions> = {}) {
  const { run } = newRun(more);
  const ended = run.start({ dataset: "flights" });
  const peer = await server.accept();
  peer.ready();
  await peer.expect("file.open");
  return { run, ended };
}

describe("a cancellation", () => {
  it("is repeated until the server confirms it", async () => {
    let failures = 0;
    server.route("DELETE /v1/exports/e1", (request, response) => {
      failures += 1;
      if (failures < 3) {
        request.socket.destroy();
      } else {
        deleted.push("e1");
        json(response, 202, queued);
      }
    });
    const { run, ended } = await queuedRun();
    run.cancel();
    await run.start({ dataset: "flights" }); // joins nothing while the cancellation is under way
    expect(await ended).toMatchObject({ error: { slug: "canceled" } });
    expect([created, deleted]).toEqual([1, ["e1"]]);
  });

  it("that the server does not confirm is not called canceled, and the next start is a new one", async () => {
    server.route("DELETE /v1/exports/e1", (request) => request.socket.destroy());
    const { run, ended } = await queuedRun({ cancelTimeoutMs: 50 });
    run.cancel();
    expect(await ended).toMatchObject({ phase: "failed", error: { slug: "cancel-unconfirmed" } });
    expect(run.resumable).toBe(false);
  });

  it("while the token is awaited sends nothing", async () => {
    let give: (token: string) => void = () => undefined;
    const token = new Promise<string>((resolve) => {
      give = resolve;
    });
    const { run } = newRun({ getToken: () => token });
    const ended = run.start({ dataset: "flights" });
    run.cancel();
    expect(await ended).toMatchObject({ phase: "failed", error: { slug: "canceled" } });
    give("secret");
    await token;
    await new Promise((resolve) => setImmediate(resolve));
    expect(created).toBe(0);
  });

  it("also reaches an export whose acceptance got lost", async () => {
    const keys: unknown[] = [];
    let lose: () => void = () => undefined;
    server.route("POST /v1/exports", (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length === 1) {
        lose = () => request.socket.destroy();
      } else {
        json(response, 202, queued);
      }
    });
    const { run } = newRun();
    const ended = run.start({ dataset: "flights" });
    await expect.poll(() => keys.length).toBe(1);
    run.cancel();
    lose();
    expect(await ended).toMatchObject({ error: { slug: "canceled" } });
    expect([new Set(keys).size, deleted]).toEqual([1, ["e1"]]);
  });

  it("leaves an export that another button of the page shows", async () => {
    const first = await queuedRun();
    const second = await queuedRun();
    first.run.cancel();
    expect(await first.ended).toMatchObject({ phase: "failed", error: { slug: "aborted" } });
    expect([deleted, second.run.state.phase]).toEqual([[], "queued"]);
    second.run.cancel();
    expect(await second.ended).toMatchObject({ error: { slug: "canceled" } });
    expect(deleted).toEqual(["e1"]);
  });
});

describe("a retry", () => {
  /** Returns a run whose first saving has failed. */
  async function unsavedRun() {
    let failed = false;
    const options = {
      baseUrl: server.baseUrl,
      token: "secret",
      webSocket: WebSocket as unknown as WebSocketConstructor,
      save: () => {
        if (!failed) {
          failed = true;
          throw new Error("no downloads here");
        }
      },
    };
    const run = new ExportRun(options);
    const ended = run.start({ dataset: "flights" });
    await serve();
    await ended;
    expect(run.resumable).toBe(true);
    return { run, options };
  }

  it("starts again from the start when the export is not the user's any more", async () => {
    const { run } = await unsavedRun();
    current = queued;
    const ended = run.retry();
    const peer = await server.accept();
    peer.ready();
    const { ref } = await peer.expect("file.open");
    peer.send({
      type: "error",
      ref,
      problem: { type: "/problems/not-found", title: "Not found", status: 404, detail: "" },
    });
    await serve();
    expect((await ended).phase).toBe("saved");
    expect(created).toBe(2);
  });

  it("at another gateway starts again from the start", async () => {
    const { run, options } = await unsavedRun();
    options.baseUrl = `${server.baseUrl}/`;
    expect(run.resumable).toBe(false);
    current = queued;
    const ended = run.retry();
    await serve();
    await ended;
    expect(created).toBe(2);
  });
});
