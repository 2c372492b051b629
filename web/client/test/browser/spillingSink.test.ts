import { expect, it, vi } from "vitest";
import type { PrivateFile } from "../../src/browser/privateFile.js";
import { SpillingSink } from "../../src/browser/spillingSink.js";

const MB = 1024 * 1024;

/** A private file that counts its bytes. */
function privateFile(room = Number.POSITIVE_INFINITY) {
  const seen = { size: 0, removed: false };
  const write = async (data: Blob | Uint8Array) => {
    seen.size += data instanceof Blob ? data.size : data.byteLength;
    if (seen.size > room) {
      throw new DOMException("full", "QuotaExceededError");
    }
  };
  const writable = { write, close: async () => undefined, abort: async () => undefined };
  const handle = { createWritable: async () => writable, getFile: async () => new Blob(["file"]) };
  const remove = async () => {
    seen.removed = true;
  };
  const file = { handle: handle as unknown as FileSystemFileHandle, remove } satisfies PrivateFile;
  return { seen, file };
}

it("a small file stays in memory", async () => {
  const create = vi.fn();
  const sink = new SpillingSink(create);
  await sink.write(new Uint8Array([1, 2]));
  await sink.write(new Uint8Array([3]));
  expect(new Uint8Array(await (await sink.finish()).arrayBuffer())).toEqual(new Uint8Array([1, 2, 3]));
  expect(create).not.toHaveBeenCalled();
});

it("a large file moves to a private file, which is removed a while after the end", async () => {
  vi.useFakeTimers();
  try {
    const { seen, file } = privateFile();
    const sink = new SpillingSink(async () => file);
    for (let part = 0; part < 20; part += 1) {
      await sink.write(new Uint8Array(MB));
    }
    expect(seen.size).toBe(20 * MB);
    expect(await (await sink.finish()).text()).toBe("file");
    expect(seen.removed).toBe(false);
    vi.advanceTimersByTime(3_600_000);
    expect(seen.removed).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});

it("a failed download removes its private file, and a full disk is no-room", async () => {
  const { seen, file } = privateFile(17 * MB);
  const sink = new SpillingSink(async () => file);
  await sink.write(new Uint8Array(17 * MB));
  await expect(sink.write(new Uint8Array(MB))).rejects.toMatchObject({ slug: "no-room" });
  await sink.release();
  expect(seen.removed).toBe(true);
});

it("without private files the browser is asked once, and the size is limited", async () => {
  const create = vi.fn(async () => undefined);
  const sink = new SpillingSink(create);
  const part = new Uint8Array(64 * MB);
  for (let index = 0; index < 4; index += 1) {
    await sink.write(part);
  }
  await expect(sink.write(new Uint8Array(1))).rejects.toMatchObject({ slug: "too-large" });
  expect(create).toHaveBeenCalledOnce();
});
