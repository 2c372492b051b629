import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRetryAfter } from "../src/errors.js";
import { SluiceClient, SluiceError } from "../src/index.js";
import { json, problem, TestServer } from "./testServer.js";

describe("problem documents", () => {
  it("become errors with slug, title, detail, fields and trace id", () => {
    const error = SluiceError.fromProblem({
      type: "https://x.example/problems/invalid-filter",
      title: "The filter is not valid",
      status: 422,
      detail: "one field",
      trace_id: "abc",
      errors: [{ pointer: "/filter/origin", detail: "no such column" }],
    });
    expect(error).toMatchObject({
      slug: "invalid-filter",
      title: "The filter is not valid",
      detail: "one field",
      status: 422,
      traceId: "abc",
      errors: [{ pointer: "/filter/origin", detail: "no such column" }],
    });
  });

  it("with an unknown slug get the slug that the status implies", () => {
    expect(SluiceError.fromProblem({ type: "/problems/new-thing", title: "t", status: 429 }).slug).toBe(
      "rate-limited",
    );
  });

  it("have the delay of Retry-After", () => {
    expect(parseRetryAfter("3")).toBe(3000);
    expect(parseRetryAfter("Sun, 22 Nov 2026 00:00:10 GMT", Date.UTC(2026, 10, 22))).toBe(10_000);
    expect(parseRetryAfter("soon")).toBeUndefined();
  });
});

describe("REST", () => {
  let server: TestServer;
  beforeEach(async () => {
    server = await TestServer.start();
  });
  afterEach(() => server.stop());

  it("rejects with the server's problem", async () => {
    server.route("POST /v1/exports", (_, response) =>
      problem(response, 429, "credits-exhausted", { detail: "none left" }),
    );
    const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
    await expect(client.exports.create({ dataset: "flights" })).rejects.toMatchObject({
      slug: "credits-exhausted",
      detail: "none left",
    });
  });

  it("maps a proxy's error page by its status", async () => {
    server.route("GET /v1/credits", (_, response) => {
      response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>");
    });
    const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
    await expect(client.credits()).rejects.toMatchObject({ slug: "unavailable", status: 502 });
  });

  it("refreshes a refused token once", async () => {
    const authorizations: (string | undefined)[] = [];
    server.route("GET /v1/credits", (request, response) => {
      authorizations.push(request.headers.authorization);
      if (request.headers.authorization === "Bearer new") {
        json(response, 200, { balance: 4, held: 1, next_grant_at: null, entries: [] });
      } else {
        problem(response, 401, "unauthorized");
      }
    });
    const client = new SluiceClient({
      baseUrl: server.baseUrl,
      getToken: ({ refresh }) => (refresh ? "new" : "old"),
    });
    await expect(client.credits()).resolves.toMatchObject({ balance: 4 });
    expect(authorizations).toEqual(["Bearer old", "Bearer new"]);
  });

  it("rejects with network when the connection breaks", async () => {
    server.route("GET /v1/credits", (_, response) => response.destroy());
    const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
    await expect(client.credits()).rejects.toMatchObject({ slug: "network" });
  });

  it("retries with the same idempotency key while the first request is in progress", async () => {
    const keys: (string | string[] | undefined)[] = [];
    server.route("POST /v1/exports", (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length < 3) {
        problem(response, 409, "idempotency-conflict");
      } else {
        json(response, 202, { id: "x1" });
      }
    });
    const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t", backoff: { random: () => 0 } });
    const started = await client.exports.create({ dataset: "flights" });
    expect(started).toMatchObject({ export: { id: "x1" }, announced: false });
    expect(new Set(keys).size).toBe(1);
    expect(keys).toHaveLength(3);
  });
});
