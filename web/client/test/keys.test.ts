import { expect, it } from "vitest";
import { type ApiKey, SluiceClient } from "../src/index.js";
import { json, TestServer } from "./testServer.js";

function key(id: string): ApiKey {
  return {
    id,
    name: id,
    scopes: ["export:*"],
    created_at: "2026-11-22T15:26:01.123Z",
    created_by: "alice",
    expires_at: null,
    last_used_at: null,
  };
}

it("keys are created, listed page by page, and deleted", async () => {
  const server = await TestServer.start();
  const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
  const calls: string[] = [];
  const bodies: unknown[] = [];
  server.route("POST /v1/keys", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
      json(response, 201, { ...key("k3"), key: "slk_secret" });
    });
  });
  server.route("GET /v1/keys", (request, response) => {
    calls.push(request.url ?? "");
    const isFirst = !request.url?.includes("cursor");
    json(
      response,
      200,
      isFirst ? { items: [key("k2")], next_cursor: "k2" } : { items: [key("k1")], next_cursor: null },
    );
  });
  server.route("DELETE /v1/keys/k1", (request, response) => {
    calls.push(`${request.method} ${request.url}`);
    response.writeHead(204).end();
  });
  try {
    const created = await client.keys.create({ name: "k3", scopes: ["export:*"], expires_at: null });
    expect([created.key, created.id]).toEqual(["slk_secret", "k3"]);
    expect(bodies).toEqual([{ name: "k3", scopes: ["export:*"], expires_at: null }]);
    expect((await client.keys.list()).map(({ id }) => id)).toEqual(["k2", "k1"]);
    await client.keys.delete("k1");
    expect(calls).toEqual(["/v1/keys?limit=200", "/v1/keys?limit=200&cursor=k2", "DELETE /v1/keys/k1"]);
  } finally {
    client.close();
    await server.stop();
  }
});
