import { describe, expect, it } from "vitest";
import { type BrowserSupport, downloadMethod } from "../src/saving/saveMethod.js";

const MB = 1_000_000;
const able: BrowserSupport = {
  filePicker: true,
  privateFiles: true,
  serviceWorker: true,
  freeSpace: 1000 * MB,
};

describe("the save method for downloads", () => {
  it.each<[string, Partial<BrowserSupport>, number | undefined, string]>([
    ["private files, which outlive a reload", {}, 100 * MB, "private"],
    ["private files while the size is not known", {}, undefined, "private"],
    [
      "private files where the browser does not tell how much freeSpace there is",
      { freeSpace: undefined },
      9e9,
      "private",
    ],
    ["a stream when private files have no freeSpace for it", {}, 500 * MB, "stream"],
    ["a stream where there are no private files", { privateFiles: false }, 1, "stream"],
    ["memory where there is nothing better", { privateFiles: false, serviceWorker: false }, 1, "memory"],
  ])("is %s", (_, less, size, method) => {
    expect(downloadMethod({ ...able, ...less }, size)).toBe(method);
  });
});
