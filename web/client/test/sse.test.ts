import { describe, expect, it } from "vitest";
import { SseParser } from "../src/sse.js";

describe("server-sent events", () => {
  it("are parsed in chunks of any size", () => {
    const text =
      ': hello\r\nid: e1:7\r\nevent: credits.changed\r\ndata: {"a":1,\r\ndata: "b":2}\r\n\r\ndata:x\n\n';
    const expected = [
      { type: "credits.changed", data: '{"a":1,\n"b":2}', id: "e1:7" },
      { type: "message", data: "x", id: "e1:7" },
    ];
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new SseParser();
      const events = [];
      for (let at = 0; at < text.length; at += size) {
        events.push(...parser.push(text.slice(at, at + size)));
      }
      expect(events, `in chunks of ${size}`).toEqual(expected);
    }
  });

  it("without data are skipped, and an event without end is rejected", () => {
    expect(new SseParser().push("event: x\n\nretry: 5\n\n")).toEqual([]);
    const parser = new SseParser();
    expect(() => {
      for (let i = 0; i < 20; i += 1) {
        parser.push(`data: ${"x".repeat(100_000)}\n`);
      }
    }).toThrow();
  });
});
