import { afterEach, expect, it, vi } from "vitest";
import { Emitter } from "../src/emitter.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

it("a listener that throws affects neither the other listeners nor the emitter, and its error is reported", () => {
  const reported = vi.fn();
  vi.stubGlobal("reportError", reported);
  const emitter = new Emitter<number>();
  const received: number[] = [];
  const broken = new Error("no notifications here");
  emitter.on(() => {
    throw broken;
  });
  emitter.on((value) => received.push(value));
  emitter.emit(1);
  emitter.emit(2);
  expect(received).toEqual([1, 2]);
  expect(reported.mock.calls).toEqual([[broken], [broken]]);
});

it("without reportError the error becomes an uncaught exception", async () => {
  vi.stubGlobal("reportError", undefined);
  const thrown: unknown[] = [];
  const queued = vi.spyOn(globalThis, "queueMicrotask").mockImplementation((task) => {
    try {
      task();
    } catch (cause) {
      thrown.push(cause);
    }
  });
  const emitter = new Emitter<number>();
  const broken = new Error("of the listener");
  emitter.on(() => {
    throw broken;
  });
  emitter.emit(1);
  queued.mockRestore();
  expect(thrown).toEqual([broken]);
});
