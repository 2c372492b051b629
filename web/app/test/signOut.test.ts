import type { Export, SluiceClient } from "@sluice/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Identity } from "../src/auth/identity.js";
import { Oidc } from "../src/auth/oidc.js";
import { signOutAtIssuer } from "../src/auth/signOut.js";
import { removeFilesOf, removeOrphanFiles } from "../src/saving/fileCleanup.js";
import { FileSaver } from "../src/saving/fileSaver.js";
import type { Entry } from "../src/saving/journal.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** The private files of a browser, some of which can't be removed just now. */
class Folder {
  readonly names: Set<string>;
  readonly stuck = new Map<string, DOMException>();
  tries = 0;

  constructor(...names: string[]) {
    this.names = new Set(names);
    const root = { getDirectoryHandle: async () => this };
    vi.stubGlobal("navigator", { storage: { getDirectory: async () => root } });
  }

  async removeEntry(name: string): Promise<void> {
    this.tries += 1;
    const cause = this.stuck.get(name);
    if (cause) {
      throw cause;
    }
    if (!this.names.delete(name)) {
      throw new DOMException("There is none", "NotFoundError");
    }
  }

  async *keys() {
    yield* [...this.names];
  }
}

/** A journal with a note about each of these files. */
function notesOf(owners: Record<string, string>) {
  const entries = new Map(Object.entries(owners));
  return {
    entries,
    all: async () =>
      [...entries].map(([exportId, owner]): Entry => ({ exportId, owner, method: "private", at: 0 })),
    remove: async (exportId: string) => {
      entries.delete(exportId);
    },
  };
}

const held = (name = "NoModificationAllowedError") => new DOMException("It is held", name);

describe("what a person has here", () => {
  it("is forgotten, and what others have stays", async () => {
    const folder = new Folder("one", "two", "other");
    const notes = notesOf({ one: "alice", two: "alice", chosen: "alice", other: "bob" });
    await removeFilesOf(notes, "alice");
    expect([...folder.names]).toEqual(["other"]);
    expect([...notes.entries.keys()]).toEqual(["other"]);
  });

  it.each(["NoModificationAllowedError", "InvalidStateError"])(
    "is waited for while another tab holds it (%s), and keeps nothing else waiting",
    async (name) => {
      const folder = new Folder("held", "free");
      folder.stuck.set("held", held(name));
      const notes = notesOf({ held: "alice", free: "alice" });
      const removed = removeFilesOf(notes, "alice");
      await vi.advanceTimersByTimeAsync(1_000);
      expect([...folder.names]).toEqual(["held"]);
      expect([...notes.entries]).toEqual([]); // nobody goes on with it
      folder.stuck.clear();
      await vi.advanceTimersByTimeAsync(1_000);
      await removed;
      expect([...folder.names]).toEqual([]);
    },
  );

  it("is tried once when it can't be removed for another reason", async () => {
    const folder = new Folder("broken");
    folder.stuck.set("broken", new DOMException("The disk is broken", "UnknownError"));
    const notes = notesOf({ broken: "alice" });
    await expect(removeFilesOf(notes, "alice")).rejects.toThrow("The disk is broken");
    expect(folder.tries).toBe(1);
    expect([...notes.entries]).toEqual([]);
  });

  it("is given up after a while, and goes at the next start", async () => {
    const folder = new Folder("held", "known");
    folder.stuck.set("held", held());
    const notes = notesOf({ held: "alice", known: "bob" });
    const removed = expect(removeFilesOf(notes, "alice")).rejects.toThrow("It is held");
    await vi.advanceTimersByTimeAsync(20_000);
    await removed;
    await removeOrphanFiles(notes);
    expect([...folder.names]).toEqual(["held", "known"]); // it still is
    folder.stuck.clear();
    await removeOrphanFiles(notes);
    expect([...folder.names]).toEqual(["known"]);
  });

  it("is not begun any more once they have signed out", async () => {
    const request = async (_name: string, _options: object, granted: (lock: object) => unknown) =>
      granted({});
    vi.stubGlobal("navigator", { locks: { request } });
    const startWorker = vi.fn(() => ({ postMessage: () => undefined }) as unknown as Worker);
    const options = { client: {} as SluiceClient, getToken: async () => "", startWorker, owner: "alice" };
    const saver = new FileSaver(options);
    const handle = {} as FileSystemFileHandle;
    const save = (id: string) =>
      saver.save({ id, dataset: "d", format: "csv" } as Export, { kind: "file", handle });
    const before = save("one");
    saver.close();
    await before;
    await save("two");
    expect(startWorker).not.toHaveBeenCalled();
    expect(saver.state("one")).toBeUndefined();
    expect(saver.state("two")).toBeUndefined();
  });
});

describe("signing out at the issuer", () => {
  const identity = { token: "", expiresAt: null, sub: "s", tenant: "t", person: null } as const;
  const kind = { kind: "oidc", authority: "", client_id: "", scope: "", parameters: {} };
  const forget = vi.fn(async () => undefined);
  const leave = (via: Identity["via"], forgotten: Promise<void>) =>
    signOutAtIssuer({ ...identity, via }, forgotten);
  beforeEach(() => {
    forget.mockClear();
    vi.stubGlobal("fetch", async () => Response.json({ identity: kind }));
    vi.spyOn(Oidc, "at").mockResolvedValue({ forget } as unknown as Oidc);
  });

  it("waits for what is soon forgotten", async () => {
    let done = () => {};
    const forgotten = new Promise<void>((resolve) => {
      done = resolve;
    });
    const left = leave("oidc", forgotten);
    await vi.advanceTimersByTimeAsync(500);
    expect(forget).not.toHaveBeenCalled();
    done();
    await left;
    expect(forget).toHaveBeenCalledOnce();
  });

  it("is held up for two seconds at most, whatever is not forgotten by then", async () => {
    const left = leave("oidc", new Promise(() => {}));
    await vi.advanceTimersByTimeAsync(2_000);
    await left;
    expect(forget).toHaveBeenCalledOnce();
  });

  it("is nothing to who did not come from there", async () => {
    await leave("local", new Promise(() => {}));
    expect(forget).not.toHaveBeenCalled();
  });
});
