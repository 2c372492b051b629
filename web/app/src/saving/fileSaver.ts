import { type Export, type SluiceClient, SluiceError, type TransferState } from "@sluice/client";
import { detectBrowserSupport } from "./browserSupport.js";
import { removeFilesOf, removeOrphanFiles } from "./fileCleanup.js";
import { isShownByExport, isUnrecoverable } from "./finalErrors.js";
import { Journal } from "./journal.js";
import { privateFile, removePrivateFile } from "./privateFiles.js";
import { SaveError } from "./saveError.js";
import { type BrowserSupport, downloadMethod, MEMORY_LIMIT, type SaveMethod } from "./saveMethod.js";
import { deserializeError, serializeError } from "./serializedError.js";
import { type ServiceWorkerDownload, startServiceWorkerDownload } from "./serviceWorkerDownload.js";
import type { FromWorker, SaveTask, ToWorker } from "./workerMessages.js";

/** How far this page is with one file. */
export type SaveState =
  | { phase: "receiving"; method: SaveMethod; received: number; state: TransferState }
  | { phase: "saved"; method: SaveMethod }
  /** Begun by an earlier visit, and waiting for the person to allow the file to be written again. */
  | { phase: "paused" }
  | { phase: "failed"; error: SluiceError };

/** Where a file is to go. */
export type SaveLocation =
  | { kind: "downloads"; size?: number | undefined }
  | { kind: "file"; handle: FileSystemFileHandle };

/** Whole files of at most this many bytes together are kept for saving again without another download. */
const KEEP_BYTES = 1024 * 1024 * 1024;

/** For how long at most, milliseconds. */
const KEEP_MS = 24 * 3600 * 1000;

/** How long the server may take to show that it is there, in milliseconds. */
const PROBE_MS = 10_000;

/** How long an object URL outlives its click, in milliseconds; the browser has begun to copy long before. */
const URL_LIFE_MS = 60_000;

/** What a {@link FileSaver} works with. */
export interface SaverOptions {
  client: SluiceClient;
  /** The bearer token, for the worker's own session. */
  getToken: (ask: { refresh: boolean }) => Promise<string>;
  /** Starts the worker, when there is something to do. */
  startWorker: () => Worker;
  /** Whose files they are; `undefined` while nobody knows, until {@link FileSaver.resume} tells. */
  owner: string | undefined;
}

/** Fetches files, checks them, and puts them where the person wants them. Remembers what is unfinished. */
export class FileSaver {
  readonly #options: SaverOptions;
  readonly #journal = new Journal();
  readonly #states = new Map<string, SaveState>();
  readonly #listeners = new Set<() => void>();
  readonly #streams = new Map<string, ServiceWorkerDownload>();
  readonly #releases = new Map<string, () => void>();
  /** What files are called until the server has told. */
  readonly #names = new Map<string, string>();
  #worker: Worker | undefined;
  #workerReady = false;
  #over = false;
  #owner: string;

  constructor(options: SaverOptions) {
    this.#options = options;
    // until it is known who they are, what is saved here is nobody's, and no later visit goes on with it
    this.#owner = options.owner ?? `nobody ${Math.random()}`;
  }

  /** For `useSyncExternalStore`. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };

  /** Where the file of an export stands on this page. */
  state(exportId: string): SaveState | undefined {
    return this.#states.get(exportId);
  }

  /** Saves the file. What is here already is handed over at once, and what is on its method is left to it. */
  async save(item: Pick<Export, "id" | "dataset" | "format" | "file">, place: SaveLocation): Promise<void> {
    const exportId = item.id;
    if (this.#over || this.#states.get(exportId)?.phase === "receiving") {
      return;
    }
    this.#names.set(exportId, item.file?.name ?? `${item.dataset}.${item.format}`);
    try {
      if (place.kind === "file") {
        await this.#begin(exportId, "file", place.handle);
        return;
      }
      const support = await this.#support();
      if (support.privateFiles && (await this.#fromBefore(exportId))) {
        return;
      }
      const method = downloadMethod(support, place.size);
      if (method === "memory" && (item.file?.size ?? 0) > MEMORY_LIMIT) {
        throw new SluiceError({ slug: "too-large", title: "This browser can't save a file of this size" });
      }
      await this.#begin(exportId, method);
    } catch (cause) {
      this.#fail(exportId, SluiceError.from(cause, "sink"));
    }
  }

  /** What this browser can; without a journal nobody could go on with a private file, nor find it again. */
  async #support(): Promise<BrowserSupport> {
    const support = await detectBrowserSupport(window);
    return { ...support, privateFiles: support.privateFiles && (await this.#journal.works()) };
  }

  /** Has the worker fetch the file from its beginning. */
  async #begin(exportId: string, method: SaveMethod, handle?: FileSystemFileHandle): Promise<void> {
    this.#set(exportId, { phase: "receiving", method, received: 0, state: "receiving" });
    const task: SaveTask = { exportId, method, resume: false, ...(handle ? { handle } : undefined) };
    if (method === "stream") {
      const stream = await startServiceWorkerDownload(exportId, await this.#nameOf(exportId));
      this.#streams.set(exportId, stream);
      task.port = stream.port;
      task.answers = stream.answers;
    }
    if (method === "private" || (method === "file" && (await this.#journal.works()))) {
      if (this.#over) {
        return; // a note would userSession behind
      }
      const chosen = handle ? { handle } : undefined;
      await this.#journal.put({ exportId, owner: this.#owner, method, ...chosen, at: Date.now() });
    }
    if (!(await this.#give(task))) {
      this.#forgetState(exportId); // another tab is at it
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

  /** Goes on with what an earlier visit of this person left unfinished, and throws away what is old. */
  async resume(owner: string): Promise<void> {
    this.#owner = owner;
    const { privateFiles: able } = await this.#support();
    if (!able) {
      return;
    }
    const entries = await this.#journal.all();
    for (const entry of entries) {
      if (Date.now() - entry.at > KEEP_MS) {
        await this.#discard(entry.exportId);
      } else if (entry.owner !== owner) {
        // theirs alone
      } else if (entry.whole) {
        this.#set(entry.exportId, { phase: "saved", method: entry.method });
      } else if (this.#states.get(entry.exportId)?.phase !== "receiving") {
        await this.#goOn(entry.exportId, false);
      }
    }
    await removeOrphanFiles(this.#journal);
  }

  /** Goes on with a paused file; the click that calls it lets the browser ask the person. */
  continue(exportId: string): Promise<void> {
    return this.#goOn(exportId, true);
  }

  /** Stops a download; what has come is thrown away. */
  stop(exportId: string): void {
    this.#post({ type: "stop", exportId });
  }

  /** Tries again at once instead of waiting, such as when the network is back. */
  retryNow(): void {
    this.#post({ type: "retry" });
  }

  /** The page goes, and nothing is begun any more: what is unfinished stays for the next visit. */
  close(): void {
    this.#over = true;
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
      stream.over();
    }
    this.#streams.clear();
  }

  /** The person signs out: nothing of theirs stays. */
  async forget(): Promise<void> {
    const owner = this.#owner;
    this.close();
    if (!(await this.#journal.works())) {
      return; // then nothing was kept
    }
    await removeFilesOf(this.#journal, owner);
  }

  async #goOn(exportId: string, mayAsk: boolean): Promise<void> {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (!entry || entry.owner !== this.#owner) {
      return;
    }
    if (entry.handle && !(await mayWrite(entry.handle, mayAsk))) {
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
    if (!(await this.#give(task))) {
      this.#forgetState(exportId);
    }
  }

  /** Gives an task to the worker, unless another tab is at the same file. One tab alone writes to it. */
  async #give(task: SaveTask): Promise<boolean> {
    if ((task.method === "file" || task.method === "private") && !(await this.#lock(task.exportId))) {
      return false;
    }
    if (this.#over) {
      this.#unlock(task.exportId); // it came after all others were released
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
        // what is left undone is a note for a later visit, which begins anew then
        this.#hear(data).catch(reportError);
      };
      this.#worker.onerror = () => void this.#workerDied();
    }
    this.#worker.postMessage(message, transfer);
  }

  async #hear(message: FromWorker): Promise<void> {
    switch (message.type) {
      case "ready":
        this.#workerReady = true;
        break;
      case "token-request":
        await this.#answer(message.requestId, message.refresh);
        break;
      case "received":
      case "state": {
        const current = this.#states.get(message.exportId);
        if (current?.phase === "receiving") {
          const { type, exportId, ...news } = message;
          this.#set(exportId, { ...current, ...news });
        }
        break;
      }
      case "attempt":
        await this.#note(message.exportId, { attempt: message.attempt });
        break;
      case "saved":
        await this.#saved(message);
        break;
      case "failed":
        this.#fail(message.exportId, deserializeError(message.error));
        break;
    }
  }

  async #answer(requestId: number, refresh: boolean): Promise<void> {
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
      handOver(file.name, new File([blob], file.name, { type: file.media_type }));
    }
    this.#streams.get(exportId)?.over();
    this.#streams.delete(exportId);
    try {
      if (method === "private") {
        const whole = { name: file.name, type: file.media_type, size: file.size };
        await this.#note(exportId, { whole });
      } else {
        await this.#journal.remove(exportId).catch(() => undefined); // there is none for every way
      }
    } finally {
      // last: whoever presses "save again" finds what the note says, and nobody at it
      this.#unlock(exportId);
      this.#set(exportId, { phase: "saved", method });
    }
    if (method === "private") {
      await this.#keepWithin();
    }
  }

  /** Hands over what is whole, and goes on with what is not. False when nothing is here. */
  async #fromBefore(exportId: string): Promise<boolean> {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (entry?.owner !== this.#owner || entry.method !== "private") {
      return false;
    }
    if (!entry.whole) {
      await this.#goOn(exportId, false);
      return true;
    }
    try {
      const file = await (await privateFile(exportId, false)).getFile();
      if (file.size !== entry.whole.size) {
        return false;
      }
      handOver(entry.whole.name, new File([file], entry.whole.name, { type: entry.whole.type }));
      this.#set(exportId, { phase: "saved", method: "private" });
      return true;
    } catch {
      return false; // browsers may throw private files away: it is fetched again
    }
  }

  async #note(
    exportId: string,
    news: { attempt?: number; whole?: { name: string; type: string; size: number } },
  ) {
    const entry = (await this.#journal.all()).find((one) => one.exportId === exportId);
    if (entry && !this.#over) {
      await this.#journal.put({ ...entry, ...news, at: Date.now() });
    }
  }

  /** The oldest whole files go when all together are too large. */
  async #keepWithin(): Promise<void> {
    const whole = (await this.#journal.all()).filter((entry) => entry.whole).sort((a, b) => b.at - a.at);
    let total = 0;
    for (const [index, entry] of whole.entries()) {
      total += entry.whole?.size ?? 0;
      if (total > KEEP_BYTES && index > 0) {
        await this.#discard(entry.exportId);
      }
    }
  }

  async #discard(exportId: string): Promise<void> {
    await removePrivateFile(exportId).catch(() => undefined); // still open somewhere: the next visit removes it
    await this.#journal.remove(exportId);
  }

  #fail(exportId: string, error: SluiceError): void {
    this.#streams.get(exportId)?.over();
    this.#streams.delete(exportId);
    this.#unlock(exportId);
    const current = this.#states.get(exportId);
    if (error.slug === "no-room" && current?.phase === "receiving" && current.method === "private") {
      void this.#elsewhere(exportId, error);
      return;
    }
    if (isUnrecoverable(error.slug)) {
      void this.#discard(exportId).catch(() => undefined); // nothing was there, then
    }
    if (isShownByExport(error.slug)) {
      this.#forgetState(exportId);
      return;
    }
    this.#set(exportId, { phase: "failed", error });
  }

  /** Private files have no room for it: a download of the browser takes it from its beginning, where there can be one. */
  async #elsewhere(exportId: string, full: SluiceError): Promise<void> {
    try {
      await this.#discard(exportId);
      if ((await this.#support()).serviceWorker) {
        await this.#begin(exportId, "stream");
      } else {
        this.#set(exportId, { phase: "failed", error: full });
      }
    } catch (cause) {
      this.#set(exportId, { phase: "failed", error: SluiceError.from(cause, "sink") });
    }
  }

  async #workerDied(): Promise<void> {
    const error = this.#workerReady
      ? new SluiceError({ slug: "sink", title: "The download stopped working" })
      : await whyNotLoaded();
    this.#endWorker();
    for (const [exportId, state] of [...this.#states]) {
      if (state.phase === "receiving") {
        this.#set(exportId, { phase: "failed", error });
      }
    }
  }

  #forgetState(exportId: string): void {
    this.#states.delete(exportId);
    this.#tell();
  }

  #set(exportId: string, state: SaveState): void {
    this.#states.set(exportId, state);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/** SaveErrorReason the worker's script did not come: the server has a mergeExport one, or can't be reached. */
async function whyNotLoaded(): Promise<SluiceError> {
  try {
    await fetch("/", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) });
    return new SaveError("outdated");
  } catch (cause) {
    return SluiceError.from(cause);
  }
}

interface Permitted {
  queryPermission?(descriptor: { mode: "readwrite" }): Promise<PermissionState>;
  requestPermission?(descriptor: { mode: "readwrite" }): Promise<PermissionState>;
}

async function mayWrite(handle: FileSystemFileHandle & Permitted, mayAsk: boolean): Promise<boolean> {
  const ask = { mode: "readwrite" } as const;
  const state = (await handle.queryPermission?.(ask)) ?? "granted";
  if (state === "granted" || !mayAsk) {
    return state === "granted";
  }
  return (await handle.requestPermission?.(ask)) === "granted";
}

/** Puts a file into the browser's downloads. */
function handOver(name: string, file: File): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), URL_LIFE_MS);
}
