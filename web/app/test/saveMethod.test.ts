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
    ["private files, which survive a reload", {}, 100 * MB, "private"],
    ["private files while the size is unknown", {}, undefined, "private"],
    [
      "private files when the browser does not report the free space",
      { freeSpace: undefined },
      9e9,
      "private",
    ],
    ["a stream when the file does not fit into private files", {}, 500 * MB, "stream"],
    ["a stream without private files", { privateFiles: false }, 1, "stream"],
    [
      "memory without private files and service worker",
      { privateFiles: false, serviceWorker: false },
      1,
      "memory",
    ],
  ])("is %s", (_, less, size, method) => {
    expect(downloadMethod({ ...able, ...less }, size)).toBe(method);
  });
});
