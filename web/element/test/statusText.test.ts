import { type Export, SluiceError } from "@sluice/client";
import { IDLE, type RunState } from "@sluice/client/browser";
import { describe, expect, it } from "vitest";
import { eventsOf } from "../src/events.js";
import { Texts } from "../src/strings/texts.js";
import { TokenError } from "../src/token.js";
import { Announcer } from "../src/view/announcer.js";
import { failureText, shownFraction, statusText } from "../src/view/statusText.js";

const texts = new Texts("en");
const progress = { rows: 0, rows_total: null, bytes: 0, queue_position: null, eta_ms: null };
const file = { name: "orders.xlsx", size: 2_000_000, rows: 9, sha256: "", media_type: "" };
const item = (changes: object) => ({ id: "e", status: "running", progress, ...changes }) as unknown as Export;
const state = (phase: RunState["phase"], changes: Partial<RunState> = {}): RunState => ({
  ...IDLE,
  phase,
  ...changes,
});
const ahead = (count: number) => item({ status: "queued", progress: { ...progress, queue_position: count } });
const rows = (done: number, total: number | null, more: object = {}) =>
  item({ progress: { ...progress, rows: done, rows_total: total, ...more } });

describe("the button says", () => {
  it.each([
    [state("idle"), undefined, ""],
    [state("starting"), "Starting…", ""],
    [state("queued", { export: ahead(0) }), "Next in the queue", ""],
    [state("queued", { export: ahead(1) }), "1 export ahead", ""],
    [
      state("queued", { export: rows(0, null, { waiting_for: "operator" }) }),
      "Starting…",
      "Paused by an operator",
    ],
    [state("running", { export: rows(299, 1_000) }), "29%", "299 of 1,000 rows"],
    [
      state("running", { export: rows(999, 1_000, { eta_ms: 4_000 }) }),
      "99%",
      "999 of 1,000 rows · 4 sec left",
    ],
    [state("running", { export: rows(5, null) }), "Exporting…", "5 rows"],
    [
      state("running", { export: rows(5, null, { waiting_for: "storage" }) }),
      "Exporting…",
      "Waiting for storage",
    ],
    [state("running", { export: rows(1_000, 1_000, { eta_ms: 1_000 }) }), "Finishing…", "1,000 rows"],
    [state("saving", { export: item({ file }), received: 500_000 }), "Saving…", "500 kB of 2 MB"],
    [
      state("running", { export: rows(1, 2), interrupted: true }),
      "50%",
      "Connection lost. Continues by itself.",
    ],
    [state("saved", { file }), "Handed to your browser", "orders.xlsx"],
  ])("the right thing in state %#", (given, main, detail) => {
    expect(statusText(given, texts)).toEqual({ main, detail });
  });

  it("what failed, and what to do", () => {
    const failed = (error: SluiceError) => failureText(state("failed", { error }), texts);
    expect(failed(new SluiceError({ slug: "forbidden", title: "x" }))).toBe(texts.strings.problems.forbidden);
    expect(failed(new SluiceError({ slug: "unauthorized", title: "x", status: 401 }))).toContain("any more");
    expect(failureText(state("saved"), texts)).toBeUndefined();
  });

  it.each([
    [new TokenError("missing", "x"), "not signed in here"],
    [new TokenError("refused", "x"), "set up wrongly (token-url)"],
    [new TokenError("answer", "x"), "an answer without access"],
    [new TokenError("endpoint", "x", { status: 401 }), "not signed in any more"],
    [new TokenError("endpoint", "x", { status: 403 }), "Ask its owner for access"],
    [new TokenError("endpoint", "x", { status: 404 }), "could not get you access (404)"],
    [new TokenError("endpoint", "x", { slug: "network" }), "could not get you access. Reload"],
    [new SluiceError({ slug: "unauthorized", title: "x" }), "not signed in here"],
    [new TokenError("provider", "x"), "could not get you access. Reload"],
    [new TokenError("timeout", "x"), "did not get you access in time"],
    [new SluiceError({ slug: "not-found", title: "x", status: 404 }), "set up wrongly (base-url)"],
    [new SluiceError({ slug: "protocol", title: "x" }), "set up wrongly (base-url)"],
    [
      new SluiceError({ slug: "not-found", title: "x", status: 404, traceId: "t" }),
      "set up wrongly (dataset)",
    ],
    [
      new SluiceError({ slug: "unknown-dataset", title: "x", status: 422, traceId: "t" }),
      "wrongly (dataset)",
    ],
    [new SluiceError({ slug: "unavailable", title: "x", status: 503 }), "not available right now"],
    [
      new SluiceError({
        slug: "invalid-filter",
        title: "x",
        status: 422,
        errors: [{ pointer: "/filter/nope", detail: "no such column" }],
      }),
      "The filter is not valid. Field: filter › nope.",
    ],
  ])("who must mend failure %#", (error, text) => {
    expect(failureText(state("failed", { error }), texts)).toContain(text);
  });

  it("that an accepted export is gone, not that the button is set up wrongly", () => {
    const error = new SluiceError({ slug: "not-found", title: "x", status: 404, traceId: "t" });
    const text = failureText(state("failed", { error, export: rows(1, 2) }), texts);
    expect(text).toBe(texts.strings.problems["not-found"]);
  });

  it("no measure while the file is completed", () => {
    expect(shownFraction(state("running", { export: rows(999, 1_000) }))).toBe(0.999);
    expect(shownFraction(state("running", { export: rows(1_000, 1_000) }))).toBeUndefined();
  });
});

it("a screen reader hears each phase and each quarter once", () => {
  const announcer = new Announcer();
  const states = [
    state("starting"),
    state("queued", { export: ahead(2) }),
    state("queued", { export: ahead(2) }),
    state("running", { export: rows(1, 100) }),
    state("running", { export: rows(20, 100) }),
    state("running", { export: rows(26, 100) }),
    state("running", { export: rows(49, 100), interrupted: true }),
    state("running", { export: rows(100, 100) }),
    state("saving", { export: item({ file }), received: 10 }),
    state("saving", { export: item({ file }), received: 20 }),
    state("saved", { file }),
  ];
  const heard = states.map((one) => announcer.next(one, texts)).filter((text) => text !== undefined);
  expect(heard).toEqual([
    "Starting…",
    "2 exports ahead",
    "Exporting…",
    "25%",
    "Connection lost. Continues by itself.",
    "Finishing…",
    "Saving…",
    "Handed to your browser: orders.xlsx",
  ]);
});

it("events report the start once, the progress, and one end", () => {
  const names = (before: RunState, after: RunState) => eventsOf(before, after).map(({ name }) => name);
  const running = state("running", { export: rows(1, 2) });
  expect(names(state("idle"), state("starting"))).toEqual([]);
  expect(names(state("starting"), running)).toEqual(["sluice-started", "sluice-progress"]);
  expect(names(running, running)).toEqual(["sluice-progress"]);
  const saved = { ...running, phase: "saved" as const, file };
  expect(names(running, saved)).toEqual(["sluice-completed"]);
  const failed = {
    ...running,
    phase: "failed" as const,
    error: new SluiceError({ slug: "canceled", title: "x" }),
  };
  expect(names(running, failed)).toEqual(["sluice-failed"]);
  expect(names(failed, failed)).toEqual([]);
  expect(names(failed, running), "a retry").toEqual(["sluice-started", "sluice-progress"]);
});
