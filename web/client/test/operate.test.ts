import { expect, it } from "vitest";
import { SluiceClient, SluiceError } from "../src/index.js";
import { json, TestServer } from "./testServer.js";

it("acts name their reason, searches their text, and a refusal is a forbidden problem", async () => {
  const server = await TestServer.start();
  const client = new SluiceClient({ baseUrl: server.baseUrl, token: "t" });
  const calls: string[] = [];
  const bodies: unknown[] = [];
  server.route("POST /v1/operate/pause", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
      json(response, 200, { changed: true });
    });
  });
  server.route("GET /v1/operate/exports", (request, response) => {
    calls.push(request.url ?? "");
    json(response, 200, { items: [], next_cursor: null });
  });
  server.route("GET /v1/operate/overview", (_request, response) => {
    json(response, 403, { type: "/problems/forbidden", title: "Forbidden", status: 403 });
  });
  try {
    await client.operate.pause({ tenant: "acme", user: "bob" }, "floods the queue");
    expect(bodies).toEqual([{ tenant: "acme", user: "bob", reason: "floods the queue" }]);
    expect((await client.operate.exports({ text: "a b", status: "failed" })).items).toEqual([]);
    expect(calls).toEqual(["/v1/operate/exports?text=a+b&status=failed"]);
    const refusal = await client.operate.overview().catch(SluiceError.from);
    expect(refusal).toMatchObject({ slug: "forbidden", status: 403 });
  } finally {
    client.close();
    await server.stop();
  }
});
