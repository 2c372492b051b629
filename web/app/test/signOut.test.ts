import type { Export, SluiceClient } from "@sluice/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Identity } from "../src/auth/identity.js";
import { Oidc } from "../src/auth/oidc.js";
import { signOutAtIssuer } from "../src/auth/signOut.js";
import { removeFilesOf, removeOrphanFiles } from "../src/saving/fileCleanup.js";
import { FileSaver } from "../src/saving/fileSaver.js";
import type { JournalEntry } from "../src/saving/journal.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** A fake folder of private files, some of which are locked. */
class FakeFolder {
  readonly names: Set<string>;
  readonly locked = new Map<string, DOMException>();
  attempts = 0;

  constructor(...names: string[]) {
    this.names = new Set(names);
    const root = { getDirectoryHandle: async () => this };
    vi.stubGlobal("navigator", { storage: { getDirectory: async () => root } });
  }

  async removeEntry(name: string): Promise<void> {
    this.attempts += 1;
    const cause = this.locked.get(name);
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

/** Creates a fake journal with one entry for each file. */
function journalOf(owners: Record<string, string>) {
  const entries = new Map(Object.entries(owners));
  return {
    entries,
    all: async () =>
      [...entries].map(
        ([exportId, owner]): JournalEntry => ({ exportId, owner, method: "private", updatedAt: 0 }),
      ),
    remove: async (exportId: string) => {
      entries.delete(exportId);
    },
  };
}

const lockedError = (name = "NoModificationAllowedError") => new DOMException("It is locked", name);

describe("the files of a user", () => {
  it("are removed at sign-out, and files of other users stay", async () => {
    const folder = new FakeFolder("one", "two", "other");
    const journal = journalOf({ one: "alice", two: "alice", chosen: "alice", other: "bob" });
    await removeFilesOf(journal, "alice");
    expect([...folder.names]).toEqual(["other"]);
    expect([...journal.entries.keys()]).toEqual(["other"]);
  });

  it.each(["NoModificationAllowedError", "InvalidStateError"])(
    "are removed later when another tab has locked one of them (%s)",
    async (name) => {
      const folder = new FakeFolder("locked", "free");
      folder.locked.set("locked", lockedError(name));
      const journal = journalOf({ locked: "alice", free: "alice" });
      const removed = removeFilesOf(journal, "alice");
      await vi.advanceTimersByTimeAsync(1_000);
      expect([...folder.names]).toEqual(["locked"]);
      expect([...journal.entries]).toEqual([]); // no page load resumes it
      folder.locked.clear();
      await vi.advanceTimersByTimeAsync(1_000);
      await removed;
      expect([...folder.names]).toEqual([]);
    },
  );

  it("are not retried after another error", async () => {
    const folder = new FakeFolder("broken");
    folder.locked.set("broken", new DOMException("The disk is broken", "UnknownError"));
    const journal = journalOf({ broken: "alice" });
    await expect(removeFilesOf(journal, "alice")).rejects.toThrow("The disk is broken");
    expect(folder.attempts).toBe(1);
    expect([...journal.entries]).toEqual([]);
  });

  it("that stay locked are removed at the next start", async () => {
    const folder = new FakeFolder("locked", "known");
    folder.locked.set("locked", lockedError());
    const journal = journalOf({ locked: "alice", known: "bob" });
    const removed = expect(removeFilesOf(journal, "alice")).rejects.toThrow("It is locked");
    await vi.advanceTimersByTimeAsync(20_000);
    await removed;
    await removeOrphanFiles(journal);
    expect([...folder.names]).toEqual(["locked", "known"]); // still locked
    folder.locked.clear();
    await removeOrphanFiles(journal);
    expect([...folder.names]).toEqual(["known"]);
  });

  it("are no longer saved after the sign-out", async () => {
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

describe("sign-out at the issuer", () => {
  const identity = { token: "", expiresAt: null, sub: "s", tenant: "t", localUser: null } as const;
  const kind = { kind: "oidc", authority: "", client_id: "", scope: "", parameters: {} };
  const signOut = vi.fn(async () => undefined);
  const signOutVia = (via: Identity["via"], filesRemoved: Promise<void>) =>
    signOutAtIssuer({ ...identity, via }, filesRemoved);
  beforeEach(() => {
    signOut.mockClear();
    vi.stubGlobal("fetch", async () => Response.json({ identity: kind }));
    vi.spyOn(Oidc, "create").mockResolvedValue({ signOut } as unknown as Oidc);
  });

  it("waits for the removal of local files", async () => {
    let done = () => {};
    const filesRemoved = new Promise<void>((resolve) => {
      done = resolve;
    });
    const signedOut = signOutVia("oidc", filesRemoved);
    await vi.advanceTimersByTimeAsync(500);
    expect(signOut).not.toHaveBeenCalled();
    done();
    await signedOut;
    expect(signOut).toHaveBeenCalledOnce();
  });

  it("waits at most two seconds for the removal of local files", async () => {
    const signedOut = signOutVia("oidc", new Promise(() => {}));
    await vi.advanceTimersByTimeAsync(2_000);
    await signedOut;
    expect(signOut).toHaveBeenCalledOnce();
  });

  it("is skipped for users who did not sign in at an issuer", async () => {
    await signOutVia("local", new Promise(() => {}));
    expect(signOut).not.toHaveBeenCalled();
  });
});
