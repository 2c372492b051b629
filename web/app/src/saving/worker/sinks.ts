import { type Hasher, newHasher, type Sink, SluiceError } from "@sluice/client";
import { retryWhileLocked } from "../retryWhileLocked.js";
import { SaveError } from "../saveError.js";
import { MEMORY_LIMIT } from "../saveMethod.js";

/** Where a worker puts the bytes of one file. */
export interface FileSink extends Sink {
  /** What is there already, and its hash. */
  readonly offset: number;
  readonly hasher: Hasher | undefined;
  /** Everything has come and is right. Gives the file where it has no place of its own yet. */
  finish(): Promise<Blob | undefined>;
  /** Lets go of it. What is there stays for another time where there is a method to go on, unless nobody ever will. */
  release(keep: boolean): Promise<void>;
}

/** Bytes that are read at once to be hashed. */
const READ_BYTES = 1024 * 1024;

/** How often a file that another worker still holds is asked for: one of a page that was just reloaded goes soon. */
const OPEN_TRIES = 20;

/** A private file, written in place: what was written is there after a crash. */
export class PrivateFileSink implements FileSink {
  readonly offset: number;
  readonly hasher: Hasher;
  readonly #handle: FileSystemFileHandle;
  readonly #access: FileSystemSyncAccessHandle;
  #position: number;

  private constructor(
    handle: FileSystemFileHandle,
    access: FileSystemSyncAccessHandle,
    hasher: Hasher,
    at: number,
  ) {
    this.#handle = handle;
    this.#access = access;
    this.hasher = hasher;
    this.offset = at;
    this.#position = at;
  }

  static async open(handle: FileSystemFileHandle, resume: boolean): Promise<PrivateFileSink> {
    const access = await retryWhileLocked(() => handle.createSyncAccessHandle(), OPEN_TRIES);
    const hasher = newHasher();
    let position = 0;
    if (resume) {
      const buffer = new Uint8Array(READ_BYTES);
      for (;;) {
        const read = access.read(buffer, { at: position });
        if (read === 0) {
          break;
        }
        hasher.update(buffer.subarray(0, read));
        position += read;
      }
    } else {
      access.truncate(0);
    }
    return new PrivateFileSink(handle, access, hasher, position);
  }

  write(chunk: Uint8Array): void {
    let written = 0;
    while (written < chunk.byteLength) {
      const rest = chunk.subarray(written) as Uint8Array<ArrayBuffer>;
      const count = this.#put(rest, this.#position + written);
      if (count === 0) {
        throw full();
      }
      written += count;
    }
    this.#position += written;
    freeBuffer(chunk.buffer);
  }

  /** Browsers say that the disk is full by throwing, though they may write less as well. */
  #put(rest: Uint8Array<ArrayBuffer>, at: number): number {
    try {
      return this.#access.write(rest, { at });
    } catch (cause) {
      return noRoom(cause);
    }
  }

  reset(): void {
    this.#access.truncate(0);
    this.#position = 0;
  }

  async finish(): Promise<Blob> {
    this.#flush();
    this.#access.close();
    return this.#handle.getFile();
  }

  #flush(): void {
    try {
      this.#access.flush();
    } catch (cause) {
      noRoom(cause);
    }
  }

  async release(): Promise<void> {
    this.#access.close(); // doing it twice is fine
  }
}

/**
 * Gives memory back at once. What came over a network is garbage after it was written, and at full speed a collector that
 * thinks it has time lets a hundred megabytes of it pile up.
 */
function freeBuffer(buffer: ArrayBufferLike): void {
  // not every browser has it, and the types of none so far
  (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
}

/** What is committed at least before a chosen file is committed again, bytes. */
const FIRST_COMMIT = 32 * 1024 * 1024;

/**
 * A file that the person chose. Browsers write to a copy that takes its place when it is closed, so it is closed now and
 * then: each time as much again has come as was there, which copies no byte more than about twice.
 */
export class ChosenFileSink implements FileSink {
  readonly offset: number;
  readonly hasher: Hasher;
  readonly #handle: FileSystemFileHandle;
  #writable: FileSystemWritableFileStream;
  #position: number;
  #committed: number;

  private constructor(
    handle: FileSystemFileHandle,
    writable: FileSystemWritableFileStream,
    hasher: Hasher,
    at: number,
  ) {
    this.#handle = handle;
    this.#writable = writable;
    this.hasher = hasher;
    this.offset = at;
    this.#position = at;
    this.#committed = at;
  }

  static async open(handle: FileSystemFileHandle, resume: boolean): Promise<ChosenFileSink> {
    const hasher = newHasher();
    let position = 0;
    if (resume) {
      const reader = (await handle.getFile()).stream().getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        hasher.update(part.value);
        position += part.value.byteLength;
      }
    }
    const writable = await handle.createWritable({ keepExistingData: resume });
    return new ChosenFileSink(handle, writable, hasher, position);
  }

  async write(chunk: Uint8Array): Promise<void> {
    const data = chunk as Uint8Array<ArrayBuffer>;
    await this.#writable.write({ type: "write", position: this.#position, data }).catch(noRoom);
    this.#position += chunk.byteLength;
    if (this.#position - this.#committed >= Math.max(FIRST_COMMIT, this.#committed)) {
      await this.#writable.close().catch(noRoom);
      this.#writable = await this.#handle.createWritable({ keepExistingData: true });
      this.#committed = this.#position;
    }
  }

  async reset(): Promise<void> {
    await this.#writable.truncate(0);
    this.#position = 0;
  }

  async finish(): Promise<undefined> {
    await this.#writable.close().catch(noRoom);
  }

  async release(keep: boolean): Promise<void> {
    if (keep) {
      // what has come so far is worth keeping: the next visit goes on with it
      await this.#writable.close().catch(() => undefined);
      return;
    }
    await this.#writable.abort().catch(() => undefined);
    if (this.#committed > 0) {
      await clear(this.#handle); // half a file under the name of the whole would be taken for it
    }
  }
}

/** Removes a file, or where the browser can't, leaves it empty. */
async function clear(handle: FileSystemFileHandle & { remove?(): Promise<void> }): Promise<void> {
  if (handle.remove) {
    await handle.remove();
    return;
  }
  const writable = await handle.createWritable({ keepExistingData: false });
  await writable.close();
}

/** How often a silent service worker is asked whether it is still there, in milliseconds. */
const ASK_MS = 10_000;

/** Questions without an answer after which it is taken for dead. A laptop that wakes up has asked but one. */
const MOST_ASKED = 3;

/** A download of the browser that a service worker answers; it tokenRequests for each chunk. */
export class ServiceWorkerSink implements FileSink {
  readonly offset = 0;
  readonly hasher = undefined;
  readonly #port: MessagePort;
  readonly #askMs: number | undefined;
  #asked = 0;
  #wake = () => {};
  #canceled = false;
  #unanswered = 0;

  /** `answers`: the service worker can be asked whether it is still there, every `askMs` milliseconds of silence. */
  constructor(port: MessagePort, answers: boolean, askMs = ASK_MS) {
    this.#port = port;
    this.#askMs = answers ? askMs : undefined;
    port.onmessage = ({ data }) => {
      this.#unanswered = 0;
      if (data === "cancel") {
        this.#canceled = true;
      } else if (data === "pull") {
        this.#asked += 1;
      }
      this.#wake();
    };
  }

  /** Waits for a message, and for no longer than a dead service worker could keep it waiting. */
  async #message(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silent = await new Promise<boolean>((resolve) => {
      this.#wake = () => resolve(false);
      timer = this.#askMs === undefined ? undefined : setTimeout(() => resolve(true), this.#askMs);
    });
    clearTimeout(timer);
    if (silent) {
      if (this.#unanswered === MOST_ASKED) {
        throw new SaveError("stream-lost");
      }
      this.#unanswered += 1;
      this.#port.postMessage("alive?");
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    while (this.#asked === 0 && !this.#canceled) {
      await this.#message();
    }
    if (this.#canceled) {
      throw new SluiceError({ slug: "aborted", title: "The browser's download was stopped" });
    }
    this.#asked -= 1;
    const own = chunk.slice(); // frames share a buffer with their header
    this.#port.postMessage(own, [own.buffer]);
  }

  reset(): void {
    throw new SaveError("file-replaced"); // what the browser has can't be taken back
  }

  async finish(): Promise<undefined> {
    this.#port.postMessage("end");
  }

  async release(): Promise<void> {
    this.#port.postMessage("abort"); // after the end nobody listens
  }
}

/** Bytes gathered on the heap before they are handed to the browser as one part. */
const PART_BYTES = 4 * 1024 * 1024;

/** Memory, for browsers that can do no better; up to a limit. */
export class MemorySink implements FileSink {
  readonly offset = 0;
  readonly hasher = undefined;
  #parts: Blob[] = [];
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #pendingBytes = 0;
  #bytes = 0;

  write(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > MEMORY_LIMIT) {
      throw new SluiceError({ slug: "too-large", title: "This browser can't save a file of this size" });
    }
    this.#pending.push(chunk as Uint8Array<ArrayBuffer>);
    this.#pendingBytes += chunk.byteLength;
    if (this.#pendingBytes >= PART_BYTES) {
      this.#flush();
    }
  }

  reset(): void {
    this.#parts = [];
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#bytes = 0;
  }

  async finish(): Promise<Blob> {
    this.#flush();
    return new Blob(this.#parts);
  }

  async release(): Promise<void> {
    this.reset();
  }

  #flush(): void {
    this.#parts.push(new Blob(this.#pending));
    this.#pending = [];
    this.#pendingBytes = 0;
  }
}

function full(): SluiceError {
  return new SluiceError({ slug: "no-room", title: "There is no room left on this device" });
}

function noRoom(cause: unknown): never {
  throw cause instanceof DOMException && cause.name === "QuotaExceededError" ? full() : cause;
}
