import { type Export, type SluiceClient, SluiceError, type TransferState } from "@sluice/client";
import { abilitiesOf } from "./abilities.js";
import { Journal } from "./journal.js";
import type { FromWorker, Order, ToWorker } from "./messages.js";
import { fromPlain, toPlain } from "./plainError.js";
import { privateFile, privateFiles, removePrivateFile } from "./privateFiles.js";
import { beginStreamDownload, type StreamDownload } from "./streamDownload.js";
import { MEMORY_LIMIT, type Way, wayToDownloads } from "./ways.js";

/** How far this page is with one file. */
export type Saving =
  | { phase: "receiving"; way: Way; received: number; state: TransferState }
  | { phase: "saved"; way: Way }
  /** Begun by an earlier visit, and waiting for the person to allow the file to be written again. */
  | { phase: "paused" }
  | { phase: "failed"; error: SluiceError };

/** Where a file is to go. */
export type Place =
  | { kind: "downloads"; size?: number | undefined }
  | { kind: "file"; handle: FileSystemFileHandle };

/** Whole files of at most this many bytes together are kept for saving again without another download. */
const KEEP_BYTES = 1024 * 1024 * 1024;

/** For how long at most, milliseconds. */
const KEEP_MS = 24 * 3600 * 1000;

/** How long an object URL outlives its click, in milliseconds; the browser has begun to copy long before. */
const URL_LIFE_MS = 60_000;

/** Ends that the export's own row tells: what befell the download itself is nothing more. */
const TOLD_ELSEWHERE: readonly string[] = ["canceled", "export-failed", "aborted"];

/** After these an unfinished file is of no use any more. */
const HOPELESS: readonly string[] = [
  ...TOLD_ELSEWHERE,
  "expired",
  "not-found",
  "forbidden",
  "digest-mismatch",
];

/** What a {@link FileSaver} works with. */
export interface SaverOptions {
  client: SluiceClient;
  /** The bearer token, for the worker's own session. */
  getToken: (ask: { refresh: boolean }) => Promise<string>;
  /** Starts the worker, when there is something to do. */
  startWorker: () => Worker;
}

/** Fetches files, checks them, and puts them where the person wants them. Remembers what is unfinished. */
export class FileSaver {
  readonly #options: SaverOptions;
  readonly #journal = new Journal();
  readonly #states = new Map<string, Saving>();
  readonly #listeners = new Set<() => void>();
  readonly #streams = new Map<string, StreamDownload>();
  readonly #releases = new Map<string, () => void>();
  #worker: Worker | undefined;
  /** Until it is known who they are, what is saved here is nobody's, and no later visit goes on with it. */
  #owner = `nobody ${Math.random()}`;

  constructor(options: SaverOptions) {
    this.#options = options;
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

  /** Saves the file. What is here already is handed over at once, and what is on its way is left to it. */
  async save(item: Pick<Export, "id" | "dataset" | "format" | "file">, place: Place): Promise<void> {
    const exportId = item.id;
    if (this.#states.get(exportId)?.phase === "receiving") {
      return;
    }
    if (place.kind === "downloads" && (await this.#fromBefore(exportId))) {
      return;
    }
    const way = place.kind === "file" ? "file" : wayToDownloads(await abilitiesOf(window), place.size);
    this.#set(exportId, { phase: "receiving", way, received: 0, state: "receiving" });
    try {
      if (way === "memory" && (item.file?.size ?? 0) > MEMORY_LIMIT) {
        throw new SluiceError({ slug: "too-large", title: "This browser can't save a file of this size" });
      }
      const order: Order = { exportId, way, resume: false };
      if (place.kind === "file") {
        order.handle = place.handle;
      }
      if (way === "stream") {
        const name = item.file?.name ?? `${item.dataset}.${item.format}`;
        const stream = await beginStreamDownload(exportId, name);
        this.#streams.set(exportId, stream);
        order.port = stream.port;
      }
      if (way === "file" || way === "private") {
        const handle = order.handle ? { handle: order.handle } : undefined;
        await this.#journal.put({ exportId, owner: this.#owner, way, ...handle, at: Date.now() });
      }
      if (!(await this.#give(order))) {
        this.#forgetState(exportId); // another tab is at it
      }
    } catch (cause) {
      this.#fail(exportId, SluiceError.from(cause, "sink"));
    }
  }

  /** Goes on with what an earlier visit of this person left unfinished, and throws away what is old. */
  async resume(owner: string): Promise<void> {
    this.#owner = owner;
    const { privateFiles: able } = await abilitiesOf(window);
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
        this.#set(entry.exportId, { phase: "saved", way: entry.way });
      } else if (this.#states.get(entry.exportId)?.phase !== "receiving") {
        await this.#goOn(entry.exportId, false);
      }
    }
    const known = new Set((await this.#journal.all()).map((entry) => entry.exportId));
    for (const name of await privateFiles()) {
      if (!known.has(name)) {
        await removePrivateFile(name).catch(() => undefined); // another tab may just have begun it
      }
    }
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

  /** The page goes: what is unfinished stays for the next visit. */
  close(): void {
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
    for (const entry of await this.#journal.all()) {
      if (entry.owner === owner) {
        await this.#discard(entry.exportId);
      }
    }
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
    const order: Order = {
      exportId,
      way: entry.way,
      handle: entry.handle,
      resume: true,
      attempt: entry.attempt,
    };
    this.#set(exportId, { phase: "receiving", way: entry.way, received: 0, state: "receiving" });
    if (!(await this.#give(order))) {
      this.#forgetState(exportId);
    }
  }

  /** Gives an order to the worker, unless another tab is at the same file. One tab alone writes to it. */
  async #give(order: Order): Promise<boolean> {
    if ((order.way === "file" || order.way === "private") && !(await this.#lock(order.exportId))) {
      return false;
    }
    this.#post({ type: "save", order }, order.port ? [order.port] : []);
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
      this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => void this.#hear(data);
      this.#worker.onerror = () => this.#workerDied();
    }
    this.#worker.postMessage(message, transfer);
  }

  async #hear(message: FromWorker): Promise<void> {
    switch (message.type) {
      case "ask-token":
        await this.#answer(message.ask, message.refresh);
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
        this.#fail(message.exportId, fromPlain(message.error));
        break;
    }
  }

  async #answer(ask: number, refresh: boolean): Promise<void> {
    try {
      this.#post({ type: "token", ask, token: await this.#options.getToken({ refresh }) });
    } catch (cause) {
      this.#post({ type: "token", ask, error: toPlain(cause) });
    }
  }

  async #saved({ exportId, file, blob }: Extract<FromWorker, { type: "saved" }>): Promise<void> {
    const current = this.#states.get(exportId);
    const way = current?.phase === "receiving" ? current.way : "memory";
    if (blob) {
      handOver(file.name, new File([blob], file.name, { type: file.media_type }));
    }
    this.#streams.get(exportId)?.over();
    this.#streams.delete(exportId);
    this.#set(exportId, { phase: "saved", way });
    if (way === "private") {
      const whole = { name: file.name, type: file.media_type, size: file.size };
      await this.#note(exportId, { whole });
      await this.#keepWithin();
    } else {
      await this.#journal.remove(exportId).catch(() => undefined); // there is none for every way
    }
    this.#unlock(exportId);
  }

  /** Hands over what is whole, and goes on with what is not. False when nothing is here. */
  async #fromBefore(exportId: string): Promise<boolean> {
    const { privateFiles: able } = await abilitiesOf(window);
    const entry = able ? (await this.#journal.all()).find((one) => one.exportId === exportId) : undefined;
    if (entry?.owner !== this.#owner || entry.way !== "private") {
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
      this.#set(exportId, { phase: "saved", way: "private" });
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
    if (entry) {
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
    if (HOPELESS.includes(error.slug) && "indexedDB" in window) {
      void this.#discard(exportId).catch(() => undefined); // nothing was there, then
    }
    if (TOLD_ELSEWHERE.includes(error.slug)) {
      this.#forgetState(exportId);
      return;
    }
    this.#set(exportId, { phase: "failed", error });
  }

  #workerDied(): void {
    const error = new SluiceError({ slug: "sink", title: "The download stopped working" });
    this.close();
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
