import { type Export, hasEnded, type SluiceClient, SluiceError } from "@sluice/client";
import { BlobSink } from "./blobSink.js";

/** How far this page is with one file. */
export type Saving =
  | { phase: "receiving"; received: number }
  | { phase: "saved" }
  | { phase: "failed"; error: SluiceError };

/** Files of at most this many bytes together are kept for saving again without another download. */
const KEEP_BYTES = 256 * 1024 * 1024;

/** Downloads at once, if the session allows as many; later ones wait for a place. */
const AT_ONCE = 4;

/** Least time between two told positions of one download, in milliseconds. */
const TELL_MS = 100;

/** How long an object URL outlives its click, in milliseconds; the browser has begun to copy long before. */
const URL_LIFE_MS = 60_000;

/** Fetches files, checks them, and hands them to the browser's download list. */
export class FileSaver {
  readonly #client: SluiceClient;
  readonly #states = new Map<string, Saving>();
  readonly #listeners = new Set<() => void>();
  readonly #kept = new Map<string, { name: string; blob: Blob }>();
  /** Every download that was asked for and has not ended, whether it has a place or waits for one. */
  readonly #wanted = new Map<string, AbortController>();
  readonly #waiting: (() => void)[] = [];
  #places = 0;

  constructor(client: SluiceClient) {
    this.#client = client;
  }

  /** For `useSyncExternalStore`. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };

  /** Where the file of an export stands on this page. */
  state(exportId: string): Saving | undefined {
    return this.#states.get(exportId);
  }

  /** Whether another download would begin at once; if not, no stream should be opened for it yet. */
  hasRoom(): boolean {
    const { state } = this.#client;
    const streams = state.name === "live" ? state.ready.limits.streams : AT_ONCE;
    return this.#places < Math.min(AT_ONCE, Math.max(1, streams));
  }

  /** Saves the file: at once when it is kept from before, else when it has arrived and was checked. */
  async save(exportId: string, announced = false): Promise<void> {
    const kept = this.#kept.get(exportId);
    if (kept) {
      saveBlob(kept.name, kept.blob);
      return;
    }
    if (this.#wanted.has(exportId)) {
      return;
    }
    const stop = new AbortController();
    this.#wanted.set(exportId, stop);
    this.#set(exportId, { phase: "receiving", received: 0 });
    await this.#takePlace(announced);
    try {
      await this.#fetch(exportId, announced, stop.signal);
      this.#set(exportId, { phase: "saved" });
    } catch (cause) {
      this.#fail(exportId, SluiceError.from(cause, "protocol"));
    } finally {
      this.#wanted.delete(exportId);
      this.#places -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Gives up every download, at sign-out. */
  stopAll(): void {
    for (const stop of this.#wanted.values()) {
      stop.abort();
    }
    this.#kept.clear();
  }

  /** A stream that the server opens by itself can't wait: it was only asked for while there was room. */
  async #takePlace(announced: boolean): Promise<void> {
    while (!announced && !this.hasRoom()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#places += 1;
  }

  async #fetch(exportId: string, announced: boolean, signal: AbortSignal): Promise<void> {
    const sink = new BlobSink();
    let toldAt = 0;
    const result = await this.#client.download(exportId, {
      sink,
      announced,
      signal,
      onProgress: (received) => {
        if (performance.now() - toldAt >= TELL_MS) {
          toldAt = performance.now();
          this.#set(exportId, { phase: "receiving", received });
        }
      },
    });
    const file = await this.#sealed(exportId, signal);
    if (file.sha256 !== result.sha256) {
      throw new SluiceError({
        slug: "digest-mismatch",
        title: "The export has another digest than its stream",
      });
    }
    const blob = sink.blob(file.media_type);
    this.#keep(exportId, file.name, blob);
    saveBlob(file.name, blob);
  }

  /** The stream's seal may be here before the export's own end: its name comes with the latter. */
  async #sealed(exportId: string, signal: AbortSignal): Promise<NonNullable<Export["file"]>> {
    for (;;) {
      const current = await this.#client.export(exportId, { signal, waitSeconds: 10 });
      if (current.file) {
        return current.file;
      }
      if (hasEnded(current.status)) {
        throw current.problem
          ? SluiceError.fromProblem(current.problem)
          : new SluiceError({ slug: "expired", title: "The file is gone" });
      }
    }
  }

  /** The end of an export is told by its own row; only what befell the download itself is told here. */
  #fail(exportId: string, error: SluiceError): void {
    if (error.slug === "canceled" || error.slug === "export-failed" || error.slug === "aborted") {
      this.#states.delete(exportId);
      this.#tell();
      return;
    }
    this.#set(exportId, { phase: "failed", error });
  }

  #keep(exportId: string, name: string, blob: Blob): void {
    this.#kept.set(exportId, { name, blob });
    let total = 0;
    for (const kept of this.#kept.values()) {
      total += kept.blob.size;
    }
    for (const [id, kept] of this.#kept) {
      if (total <= KEEP_BYTES) {
        break;
      }
      this.#kept.delete(id);
      total -= kept.blob.size;
    }
  }

  #set(exportId: string, state: Saving): void {
    this.#states.set(exportId, state);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

function saveBlob(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), URL_LIFE_MS);
}
