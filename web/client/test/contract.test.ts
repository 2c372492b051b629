import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
// @ts-expect-error the script is plain JavaScript
import { CONTRACT_FILE, contract, documents, messageTypes } from "../scripts/contract.mjs";
import { CLOSE_CODES, type ClientMessage, SERVER_SLUGS, type ServerMessage } from "../src/index.js";

/** For each server message: the kind of its handling in the SDK. The compiler rejects a table that lacks a message. */
export const SERVER_MESSAGES: Record<ServerMessage["type"], "answer" | "event" | "stream" | "session"> = {
  "session.ready": "session",
  "session.resumed": "answer",
  "session.refreshed": "answer",
  "export.accepted": "answer",
  "export.progress": "event",
  "export.completed": "event",
  "export.unchanged": "event",
  "export.failed": "event",
  "export.canceled": "event",
  "export.expired": "event",
  "credits.changed": "event",
  "schedule.paused": "event",
  "file.opened": "stream",
  "file.sealed": "stream",
  "file.closed": "stream",
  "operate.state": "event",
  pong: "answer",
  error: "answer",
};

const CLIENT_MESSAGES: Record<ClientMessage["type"], true> = {
  "session.resume": true,
  "session.refresh": true,
  "export.create": true,
  "export.cancel": true,
  "saved.run": true,
  "file.open": true,
  "file.window": true,
  "file.close": true,
  "operate.watch": true,
  "operate.unwatch": true,
  ping: true,
};

describe("the contract", () => {
  it("matches the generated types (run `npm run contract` after a change)", async () => {
    expect(await readFile(CONTRACT_FILE, "utf8")).toBe(await contract());
  });

  it("has exactly these messages", async () => {
    const docs = await documents();
    expect(Object.keys(SERVER_MESSAGES).sort()).toEqual(messageTypes(docs, "server").sort());
    expect(Object.keys(CLIENT_MESSAGES).sort()).toEqual(messageTypes(docs, "client").sort());
  });

  it("has exactly these close codes and slugs", async () => {
    const page = await readFile(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
    const codes = [...page.matchAll(/^\| (\d{4}) \|/gm)].map((match) => Number(match[1]));
    expect(codes.length).toBeGreaterThan(5);
    expect(Object.keys(CLOSE_CODES).map(Number)).toEqual([1000, ...codes]);
    const table = page.slice(page.indexOf("| slug | status |"), page.indexOf("## WebSocket"));
    const slugs = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap((row) =>
      [...(row[1] ?? "").matchAll(/`([a-z-]+)`/g)].map((match) => match[1]),
    );
    expect(slugs.sort()).toEqual([...SERVER_SLUGS].sort());
  });
});
