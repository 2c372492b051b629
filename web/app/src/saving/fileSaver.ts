import { type Export, type SluiceClient, SluiceError, type TransferState } from "@sluice/client";
import { MEMORY_LIMIT, saveToDownloads } from "@sluice/client/browser";
import { detectBrowserSupport } from "./browserSupport.js";
import { removeFilesOf, removeOrphanFiles } from "./fileCleanup.js";
import { isShownByExport, isUnrecoverable } from "./finalErrors.js";
import { Journal } from "./journal.js";
import { privateFile, removePrivateFile } from "./privateFiles.js";
import { SaveError } from "./saveError.js";
import { hasWritePermission } from "./saveLocation.js";
import { type BrowserSupport, type DownloadMethod, downloadMethod, type SaveMethod } from "./saveMethod.js";
import { deserializeError, serializeError } from "./serializedError.js";
import { type ServiceWorkerDownload, startServiceWorkerDownload } from "./serviceWorkerDownload.js";
import type { FromWorker, SaveTask, ToWorker } from "./workerMessages.js";

/** State of saving one file. */
export type SaveState =
  | { phase: "receiving"; method: SaveMethod; received: number; state: TransferState }
  | { phase: "saved"; method: SaveMethod }
  /** An earlier page load began to write the file; the user must permit the page to continue. */
  | { phase: "paused" }
  | { phase: "failed"; error: SluiceError };

/** The destination of a file: the browser downloads, or a file that the user chose. */
export type SaveLocation =
  | { kind: "downloads"; size?: number | undefined }
  | { kind: "file"; handle: FileSystemFileHandle };

/** Maximum total size of the complete private files that the page keeps for "Save again", in bytes. */
const MAX_KEPT_BYTES = 1024 * 1024 * 1024;

/** Maximum age of a kept file, in milliseconds. */
const MAX_KEPT_MS = 24 * 3600 * 1000;

/** Timeout of the request that checks whether the server is reachable, in milliseconds. */
const PROBE_TIMEOUT_MS = 10_000;

/** Dependencies of a {@link FileSaver}. */
export interface SaverOptions {
  client: SluiceClient;
  /** Returns the bearer token for the worker's own session. */
  getToken: (ask: { refresh: boolean }) => Promise<string>;
  /** Starts the worker; called for the first file. */
  startWorker: () => Worker;
  /** Owner of the saved files; `undefined` until {@link FileSaver.resume}. */
  owner: string | undefined;
}

/**
 * Downloads files in a worker, verifies them, and saves them at the chosen location. A journal keeps track of
 * unfinished files.
 */
export class FileSaver {
  readonly #options: SaverOptions;
  readonly #journal = new Journal();
  readonly #states = new Map<string, SaveState>();
  readonly #listeners = new Set<() => void>();
  readonly #streams = new Map<string, ServiceWorkerDownload>();
  readonly #releases = new Map<string, () => void>();
  /** File names until the server reports the final name. */
  readonly #names = new Map<string, string>();
  #worker: Worker | undefined;
  #workerReady = false;
  #closed = false;
  #owner: string;

  constructor(options: SaverOptions) {
    this.#options = options;
    // until the owner is known, entries have a random owner, so that no later page load resumes them
    this.#owner = options.owner ?? `unknown ${Math.random()}`;
  }

  /** Adds a listener, for `useSyncExternalStore`. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };

  /** Returns the state of the file of an export on this page. */
  state(exportId: string): SaveState | undefined {
    return this.#states.get(exportId);
  }

  /** Saves the file of an export. A complete private file is saved at once, and a running download continues. */
  async save(
    item: Pick<Export, "id" | "dataset" | "format" | "file">,
    location: SaveLocation,
  ): Promise<void> {
    const exportId = item.id;
    if (this.#closed || this.#states.get(exportId)?.phase === "receiving") {
      return;
    }
    this.#names.set(exportId, item.file?.name ?? `${item.dataset}.${item.format}`);
    try {
      if (location.kind === "file") {
        await this.#start(exportId, "file", location.handle);
        return;
      }
      const support = await this.#detectSupport();
      if (support.privateFiles && (await this.#saveExisting(exportId))) {
        return;
      }
      const method = downloadMethod(support, location.size);
      if (method === "memory" && (item.file?.size ?? 0) > MEMORY_LIMIT) {
        throw new SluiceError({ slug: "too-large", title: "This browser can't save a file of this size" });
      }
      await this.#start(exportId, method);
    } catch (cause) {
      this.#fail(exportId, SluiceError.from(cause, "sink"));
    }
  }

  /** Returns how a file of this size in bytes would get into the downloads. */
  async downloadMethod(size: number | undefined): Promise<DownloadMethod> {
    return downloadMethod(await this.#detectSupport(), size);
  }

  /** Detects the browser's features. Without a journal a private file could be neither resumed nor found again. */
  async #detectSupport(): Promise<BrowserSupport> {
    const support = await detectBrowserSupport(window);
    return { ...support, privateFiles: support.privateFiles && (await this.#journal.isAvailable()) };
  }

  /** Starts to download the file from its beginning. */
  async #start(exportId: string, method: SaveMethod, handle?: FileSystemFileHandle): Promise<void> {
    this.#set(exportId, { phase: "receiving", method, received: 0, state: "receiving" });
    const task: SaveTask = { exportId, method, resume: false, ...(handle ? { handle } : undefined) };
    if (method === "stream") {
      const stream = await startServiceWorkerDownload(exportId, await this.#nameOf(exportId));
      this.#streams.set(exportId, stream);
      task.port = stream.port;
      task.answers = stream.answers;
    }
    if (method === "private" || (method === "file" && (await this.#journal.isAvailable()))) {
      if (this.#closed) {
        return; // an entry would stay behind
      }
      const chosen = handle ? { handle } : undefined;
      await this.#journal.put({ exportId, owner: this.#owner, method, ...chosen, updatedAt: Date.now() });
    }
    if (!(await this.#assign(task))) {
      this.#removeState(exportId); // another tab is saving the file
    }
  }

  async #nameOf(exportId: string): Promise<string> {
    const known = this.#names.get(exportId);
    if (known) {
      return known;
    }
    const item = await this.#options.client.exports.get(exportId);
    return item.file?.name ?? `${item.dataset}.${item.format}`;
  }

  /** Resumes the user's unfinished files of earlier page loads, and removes old ones. */
  async resume(owner: string): Promise<void> {
    this.#owner = owner;
    const { privateFiles: privateFilesSupported } = await this.#detectSupport();
    if (!privateFilesSupported) {
      return;
    }
    const entries = await this.#journal.all();
    for (const entry of entries) {
      if (Date.now() - entry.updatedAt > MAX_KEPT_MS) {
        await this.#discard(entry.exportId);
      } else if (entry.owner !== owner) {
        // belongs to another user
      } else if (entry.completed) {
        this.#set(entry.exportId, { phase: "saved", method: entry.method });
      } else if (this.#states.get(entry.exportId)?.phase !== "receiving") {
        await this.#resumeEntry(entry.exportId, false);
      }
    }
    await removeOrphanFiles(this.#journal);
  }

  /** Resumes a paused file; must be called from a click, so that the browser can ask for permission. */
  continue(exportId: string): Promise<void> {
    return this.#resumeEntry(exportId, true);
  }

  /** Stops a download and discards the received bytes. */
  stop(exportId: string): void {
    this.#post({ type: "stop", exportId });
  }

  /** Retries at once instead of waiting, for example when the network is back. */
  retryNow(): void {
    this.#post({ type: "retry" });
  }

  /** Stops all downloads. Unfinished files stay for the next page load. */
  close(): void {
    this.#closed = true;
    this.#endWorker();
  }

  #endWorker(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const release of this.#releases.values()) {
      release();
    }
    this.#releases.clear();
    for (const stream of this.#streams.values()) {
      stream.end();
    }
    this.#streams.clear();
  }

  /** Removes all private files and journal entries of the user, at sign-out. */
  async removeAll(): Promise<void> {
    const owner = this.#owner;
    this.close();
    if (!(await this.#journal.isAvailable())) {
      return; // without a journal no file was kept
    }
    await removeFilesOf(this.#journal, owner);
  }

  async #resumeEntry(exportId: string, mayAsk: boolean): Promise<void> {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (!entry || entry.owner !== this.#owner) {
      return;
    }
    if (entry.handle && !(await hasWritePermission(entry.handle, mayAsk))) {
      this.#set(exportId, { phase: "paused" });
      return;
    }
    const task: SaveTask = {
      exportId,
      method: entry.method,
      handle: entry.handle,
      resume: true,
      attempt: entry.attempt,
    };
    this.#set(exportId, { phase: "receiving", method: entry.method, received: 0, state: "receiving" });
    if (!(await this.#assign(task))) {
      this.#removeState(exportId);
    }
  }

  /** Gives a task to the worker, unless another tab is saving the same file: only one tab may write to it. */
  async #assign(task: SaveTask): Promise<boolean> {
    if ((task.method === "file" || task.method === "private") && !(await this.#lock(task.exportId))) {
      return false;
    }
    if (this.#closed) {
      this.#unlock(task.exportId); // acquired after `close` released the locks
      return false;
    }
    this.#post({ type: "save", task }, task.port ? [task.port] : []);
    return true;
  }

  #lock(exportId: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const held = navigator.locks.request(`sluice-save-${exportId}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock && new Promise<void>((release) => this.#releases.set(exportId, release));
      });
      held.catch(reject);
    });
  }

  #unlock(exportId: string): void {
    this.#releases.get(exportId)?.();
    this.#releases.delete(exportId);
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    if (!this.#worker) {
      if (message.type !== "save") {
        return;
      }
      this.#worker = this.#options.startWorker();
      this.#workerReady = false;
      this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        // after an error the journal entry stays, and a later page load starts again
        this.#handleMessage(data).catch(reportError);
      };
      this.#worker.onerror = () => void this.#handleWorkerError();
    }
    this.#worker.postMessage(message, transfer);
  }

  async #handleMessage(message: FromWorker): Promise<void> {
    switch (message.type) {
      case "ready":
        this.#workerReady = true;
        break;
      case "token-request":
        await this.#sendToken(message.requestId, message.refresh);
        break;
      case "received":
      case "state": {
        const current = this.#states.get(message.exportId);
        if (current?.phase === "receiving") {
          const { type, exportId, ...changes } = message;
          this.#set(exportId, { ...current, ...changes });
        }
        break;
      }
      case "attempt":
        await this.#updateEntry(message.exportId, { attempt: message.attempt });
        break;
      case "saved":
        await this.#saved(message);
        break;
      case "failed":
        this.#fail(message.exportId, deserializeError(message.error));
        break;
    }
  }

  async #sendToken(requestId: number, refresh: boolean): Promise<void> {
    try {
      this.#post({ type: "token", requestId, token: await this.#options.getToken({ refresh }) });
    } catch (cause) {
      this.#post({ type: "token", requestId, error: serializeError(cause) });
    }
  }

  async #saved({ exportId, file, blob }: Extract<FromWorker, { type: "saved" }>): Promise<void> {
    const current = this.#states.get(exportId);
    const method = current?.phase === "receiving" ? current.method : "memory";
    if (blob) {
      saveToDownloads(file.name, new File([blob], file.name, { type: file.media_type }));
    }
    this.#streams.get(exportId)?.end();
    this.#streams.delete(exportId);
    try {
      if (method === "private") {
        const completed = { name: file.name, type: file.media_type, size: file.size };
        await this.#updateEntry(exportId, { completed });
      } else {
        await this.#journal.remove(exportId).catch(() => undefined); // not every method has an entry
      }
    } finally {
      // last, so that "Save again" finds the journal entry and a free lock
      this.#unlock(exportId);
      this.#set(exportId, { phase: "saved", method });
    }
    if (method === "private") {
      await this.#evictOldFiles();
    }
  }

  /** Saves a complete private file, or resumes an incomplete one. Returns false when there is none. */
  async #saveExisting(exportId: string): Promise<boolean> {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (entry?.owner !== this.#owner || entry.method !== "private") {
      return false;
    }
    if (!entry.completed) {
      await this.#resumeEntry(exportId, false);
      return true;
    }
    try {
      const file = await (await privateFile(exportId, false)).getFile();
      if (file.size !== entry.completed.size) {
        return false;
      }
      saveToDownloads(
        entry.completed.name,
        new File([file], entry.completed.name, { type: entry.completed.type }),
      );
      this.#set(exportId, { phase: "saved", method: "private" });
      return true;
    } catch {
      return false; // browsers may evict private files: it is downloaded again
    }
  }

  async #updateEntry(
    exportId: string,
    changes: { attempt?: number; completed?: { name: string; type: string; size: number } },
  ) {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (entry && !this.#closed) {
      await this.#journal.put({ ...entry, ...changes, updatedAt: Date.now() });
    }
  }

  /** Removes the oldest complete files when their total size exceeds {@link MAX_KEPT_BYTES}. */
  async #evictOldFiles(): Promise<void> {
    const completed = (await this.#journal.all())
      .filter((entry) => entry.completed)
      .sort((a, b) => b.updatedAt - a.updatedAt);
    let total = 0;
    for (const [index, entry] of completed.entries()) {
      total += entry.completed?.size ?? 0;
      if (total > MAX_KEPT_BYTES && index > 0) {
        await this.#discard(entry.exportId);
      }
    }
  }

  async #discard(exportId: string): Promise<void> {
    // a file that is still open in another tab is removed at the next page load
    await removePrivateFile(exportId).catch(() => undefined);
    await this.#journal.remove(exportId);
  }

  #fail(exportId: string, error: SluiceError): void {
    this.#streams.get(exportId)?.end();
    this.#streams.delete(exportId);
    this.#unlock(exportId);
    const current = this.#states.get(exportId);
    if (error.slug === "no-room" && current?.phase === "receiving" && current.method === "private") {
      void this.#saveThroughServiceWorker(exportId, error);
      return;
    }
    if (isUnrecoverable(error.slug)) {
      void this.#discard(exportId).catch(() => undefined); // the private file does not exist
    }
    if (isShownByExport(error.slug)) {
      this.#removeState(exportId);
      return;
    }
    this.#set(exportId, { phase: "failed", error });
  }

  /** Downloads the file through the service worker, if possible, because private files have no space left. */
  async #saveThroughServiceWorker(exportId: string, full: SluiceError): Promise<void> {
    try {
      await this.#discard(exportId);
      if ((await this.#detectSupport()).serviceWorker) {
        await this.#start(exportId, "stream");
      } else {
        this.#set(exportId, { phase: "failed", error: full });
      }
    } catch (cause) {
      this.#set(exportId, { phase: "failed", error: SluiceError.from(cause, "sink") });
    }
  }

  async #handleWorkerError(): Promise<void> {
    const error = this.#workerReady
      ? new SluiceError({ slug: "sink", title: "The download stopped working" })
      : await workerLoadError();
    this.#endWorker();
    for (const [exportId, state] of [...this.#states]) {
      if (state.phase === "receiving") {
        this.#set(exportId, { phase: "failed", error });
      }
    }
  }

  #removeState(exportId: string): void {
    this.#states.delete(exportId);
    this.#notify();
  }

  #set(exportId: string, state: SaveState): void {
    this.#states.set(exportId, state);
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/** Returns the reason why the worker's script failed to load: the server has a newer version, or is unreachable. */
async function workerLoadError(): Promise<SluiceError> {
  try {
    await fetch("/", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return new SaveError("outdated");
  } catch (cause) {
    return SluiceError.from(cause);
  }
}
