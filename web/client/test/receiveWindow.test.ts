import { describe, expect, it } from "vitest";
import { ReceiveWindow } from "../src/receiveWindow.js";

const bounds = { min: 100, max: 400 };

describe("the receive window", () => {
  it("grants again when half of the window is drained", () => {
    const window = new ReceiveWindow(1000, bounds, 0);
    expect(window.allows(1100)).toBe(true);
    expect(window.allows(1101)).toBe(false);
    expect(window.drained(1049, 500)).toBe(0);
    expect(window.drained(1050, 500)).toBe(50);
    expect(window.allows(1150)).toBe(true);
  });

  it("doubles for a fast sink, up to its upper bound", () => {
    const window = new ReceiveWindow(0, bounds, 0);
    expect(window.drained(50, 10)).toBe(150);
    expect(window.size).toBe(200);
    expect(window.drained(100, 20)).toBe(0);
    expect(window.drained(150, 20)).toBe(300);
    expect(window.drained(350, 30)).toBe(200);
    expect(window.size).toBe(400);
  });

  it("halves for a slow sink, and never grants more than its size", () => {
    const window = new ReceiveWindow(0, bounds, 0);
    window.drained(50, 10);
    window.drained(150, 20);
    expect(window.size).toBe(400);
    expect(window.drained(350, 5_000)).toBe(0);
    expect(window.size).toBe(200);
    expect(window.drained(450, 9_000)).toBe(0);
    expect(window.size).toBe(100);
    expect(window.drained(500, 9_500)).toBe(50);
  });
});
