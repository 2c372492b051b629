import { describe, expect, it } from "vitest";
import { isUnrecoverable } from "../../src/saving/finalErrors.js";
import { SaveError } from "../../src/saving/saveError.js";
import { deserializeError, serializeError } from "../../src/saving/serializedError.js";
import { ChosenFileSink, PrivateFileSink, ServiceWorkerSink } from "../../src/saving/worker/sinks.js";

const MB = 1024 * 1024;
const noRoomError = () => new DOMException("No space available for this operation", "QuotaExceededError");

/** A private file on a disk with limited space. */
function privateHandle(room: number): FileSystemFileHandle {
  let size = 0;
  const access = {
    read: () => 0,
    truncate: (to: number) => {
      size = to;
    },
    write: (data: Uint8Array, { at }: { at: number }) => {
      if (at + data.byteLength > room) {
        throw noRoomError();
      }
      size = Math.max(size, at + data.byteLength);
      return data.byteLength;
    },
    flush: () => undefined,
    close: () => undefined,
  };
  return { createSyncAccessHandle: async () => access } as unknown as FileSystemFileHandle;
}

/** A chosen file whose bytes appear only when a writable is closed. */
class ChosenFile {
  size: number | undefined = 0;
  closed = 0;

  async createWritable({ keepExistingData }: { keepExistingData: boolean }) {
    let copy = keepExistingData ? (this.size ?? 0) : 0;
    return {
      write: async ({ position, data }: { position: number; data: Uint8Array }) => {
        copy = Math.max(copy, position + data.byteLength);
      },
      close: async () => {
        this.size = copy;
        this.closed += 1;
      },
      abort: async () => undefined,
      truncate: async (to: number) => {
        copy = to;
      },
    };
  }

  async remove() {
    this.size = undefined;
  }
}

const open = (file: ChosenFile) => ChosenFileSink.open(file as unknown as FileSystemFileHandle, false);

describe("a private file", () => {
  it("reports no-room when the browser reports a full disk", async () => {
    const sink = await PrivateFileSink.open(privateHandle(1000), false);
    sink.write(new Uint8Array(1000));
    expect(() => sink.write(new Uint8Array(1))).toThrow(expect.objectContaining({ slug: "no-room" }));
  });
});

describe("a chosen file", () => {
  it("keeps the received bytes when the download can be resumed", async () => {
    const file = new ChosenFile();
    const sink = await open(file);
    await sink.write(new Uint8Array(10));
    await sink.release(!isUnrecoverable("network"));
    expect(file.size).toBe(10);
  });

  it("removes the received bytes when the file is canceled or damaged", async () => {
    for (const slug of ["canceled", "digest-mismatch", "aborted"]) {
      const file = new ChosenFile();
      const sink = await open(file);
      await sink.write(new Uint8Array(40 * MB));
      expect(file.size).toBe(40 * MB); // committed during the download
      await sink.write(new Uint8Array(10));
      await sink.release(!isUnrecoverable(slug));
      expect(file.size, slug).toBeUndefined();
    }
  });

  it("is unchanged when nothing was committed", async () => {
    const file = new ChosenFile();
    file.size = 7; // the user's own content
    const sink = await open(file);
    await sink.write(new Uint8Array(10));
    await sink.release(false);
    expect(file.size).toBe(7);
  });

  it("is emptied when the browser can't remove it", async () => {
    const file = new ChosenFile();
    Object.assign(file, { remove: undefined });
    const sink = await open(file);
    await sink.write(new Uint8Array(40 * MB));
    await sink.release(false);
    expect(file.size).toBe(0);
  });
});

describe("a download through a service worker", () => {
  it("waits as long as the service worker answers, and sends bytes on request", async () => {
    const { port1, port2 } = new MessageChannel();
    const got: unknown[] = [];
    let answered = 0;
    port2.onmessage = ({ data }) => {
      got.push(data);
      if (data === "alive?") {
        answered += 1;
        port2.postMessage(answered > 8 ? "pull" : "alive");
      }
    };
    const sink = new ServiceWorkerSink(port1, true, 20);
    await sink.write(new Uint8Array([1, 2]));
    await sink.finish();
    await expect.poll(() => got.at(-1)).toBe("end");
    expect(answered).toBeGreaterThan(8);
    expect(got.at(-2)).toEqual(new Uint8Array([1, 2]));
    port1.close();
  });

  it("fails when the service worker is dead", async () => {
    const { port1 } = new MessageChannel();
    const sink = new ServiceWorkerSink(port1, true, 2);
    await expect(sink.write(new Uint8Array(1))).rejects.toMatchObject({ reason: "stream-lost" });
    port1.close();
  });

  it("can't be restarted, and the page gets the reason", () => {
    const { port1 } = new MessageChannel();
    const sink = new ServiceWorkerSink(port1, true);
    expect(() => sink.reset()).toThrow(SaveError);
    const plain = structuredClone(serializeError(new SaveError("file-replaced")));
    expect(deserializeError(plain)).toMatchObject({ slug: "sink", reason: "file-replaced" });
    port1.close();
  });
});
