import { type SessionState, SluiceError } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { toConnectionState } from "../src/live/connectionState.js";

describe("the connection state", () => {
  const tooMany = new SluiceError({ slug: "rate-limited", title: "too many sessions" });
  const reconnecting: SessionState = { name: "reconnecting", attempt: 3, retryAt: 0, reason: "" };
  it.each<[SessionState, boolean, object]>([
    [{ name: "connecting", attempt: 0 }, true, { name: "connecting" }],
    [reconnecting, true, { name: "reconnecting", attempt: 3 }],
    [reconnecting, false, { name: "offline", network: false }],
    [{ name: "fallback", transport: "polling" }, true, { name: "limited" }],
    [{ name: "closed", error: undefined }, true, { name: "offline", network: true }],
    [{ name: "closed", error: tooMany }, true, { name: "offline", network: true, tooMany: true }],
  ])("of %j with network %s is %j", (state, online, shown) => {
    expect(toConnectionState(state, online)).toEqual(shown);
  });
});
