import { type Hasher, newHasher, SluiceError } from "@sluice/client";
import { type FileSink, noRoomError, throwNoRoom } from "@sluice/client/browser";
import { retryWhileLocked } from "../retryWhileLocked.js";
import { SaveError } from "../saveError.js";

/** Size of one read for hashing, in bytes. */
const READ_BYTES = 1024 * 1024;

/** Maximum number of attempts to open a locked file: the worker of a reloaded page releases it soon. */
const MAX_OPEN_ATTEMPTS = 20;

/** A private file (OPFS), written in place, so that written bytes survive a crash. */
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
    const access = await retryWhileLocked(() => handle.createSyncAccessHandle(), MAX_OPEN_ATTEMPTS);
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
      const count = this.#writeAt(rest, this.#position + written);
      if (count === 0) {
        throw noRoomError();
      }
      written += count;
    }
    this.#position += written;
    freeBuffer(chunk.buffer);
  }

  /** Browsers report a full disk by an exception, though the specification also allows a short write. */
  #writeAt(rest: Uint8Array<ArrayBuffer>, at: number): number {
    try {
      return this.#access.write(rest, { at });
    } catch (cause) {
      return throwNoRoom(cause);
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
      throwNoRoom(cause);
    }
  }

  async release(): Promise<void> {
    this.#access.close(); // closing twice is allowed
  }
}

/**
 * Frees the memory of a received buffer at once. Otherwise up to a hundred megabytes of garbage pile up before the
 * garbage collector runs.
 */
function freeBuffer(buffer: ArrayBufferLike): void {
  // `ArrayBuffer.transfer` is missing in some browsers and in the types
  (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
}

/** Minimum number of bytes between two commits of a chosen file. */
const MIN_COMMIT_BYTES = 32 * 1024 * 1024;

/**
 * A file that the user chose. Browsers write to a copy that replaces the file when it is closed. So the file is closed
 * whenever its size has doubled: a crash loses at most half, and no byte is copied more than about twice.
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
    await this.#writable.write({ type: "write", position: this.#position, data }).catch(throwNoRoom);
    this.#position += chunk.byteLength;
    if (this.#position - this.#committed >= Math.max(MIN_COMMIT_BYTES, this.#committed)) {
      await this.#writable.close().catch(throwNoRoom);
      this.#writable = await this.#handle.createWritable({ keepExistingData: true });
      this.#committed = this.#position;
    }
  }

  async reset(): Promise<void> {
    await this.#writable.truncate(0);
    this.#position = 0;
  }

  async finish(): Promise<undefined> {
    await this.#writable.close().catch(throwNoRoom);
  }

  async release(keep: boolean): Promise<void> {
    if (keep) {
      // keeps the received bytes for the next page load
      await this.#writable.close().catch(() => undefined);
      return;
    }
    await this.#writable.abort().catch(() => undefined);
    if (this.#committed > 0) {
      await removeOrEmpty(this.#handle); // a partial file with the final name would look complete
    }
  }
}

/** Removes a file, or empties it when the browser can't remove it. */
async function removeOrEmpty(handle: FileSystemFileHandle & { remove?(): Promise<void> }): Promise<void> {
  if (handle.remove) {
    await handle.remove();
    return;
  }
  const writable = await handle.createWritable({ keepExistingData: false });
  await writable.close();
}

/** Interval of keep-alive messages to a silent service worker, in milliseconds. */
const KEEP_ALIVE_MS = 10_000;

/**
 * Number of unanswered keep-alive messages after which the service worker counts as dead. A laptop that wakes up has
 * sent only one.
 */
const MAX_UNANSWERED = 3;

/** A browser download through a service worker, which requests each chunk. */
export class ServiceWorkerSink implements FileSink {
  readonly offset = 0;
  readonly hasher = undefined;
  readonly #port: MessagePort;
  readonly #keepAliveMs: number | undefined;
  #requestedChunks = 0;
  #wake = () => {};
  #canceled = false;
  #unanswered = 0;

  /** `answers`: the service worker answers keep-alive messages, sent every `keepAliveMs` milliseconds of silence. */
  constructor(port: MessagePort, answers: boolean, keepAliveMs = KEEP_ALIVE_MS) {
    this.#port = port;
    this.#keepAliveMs = answers ? keepAliveMs : undefined;
    port.onmessage = ({ data }) => {
      this.#unanswered = 0;
      if (data === "cancel") {
        this.#canceled = true;
      } else if (data === "pull") {
        this.#requestedChunks += 1;
      }
      this.#wake();
    };
  }

  /**
   * Waits for a message of the service worker.
   *
   * @throws SaveError `stream-lost` when the service worker is dead.
   */
  async #nextMessage(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silent = await new Promise<boolean>((resolve) => {
      this.#wake = () => resolve(false);
      timer =
        this.#keepAliveMs === undefined ? undefined : setTimeout(() => resolve(true), this.#keepAliveMs);
    });
    clearTimeout(timer);
    if (silent) {
      if (this.#unanswered === MAX_UNANSWERED) {
        throw new SaveError("stream-lost");
      }
      this.#unanswered += 1;
      this.#port.postMessage("alive?");
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    while (this.#requestedChunks === 0 && !this.#canceled) {
      await this.#nextMessage();
    }
    if (this.#canceled) {
      throw new SluiceError({ slug: "aborted", title: "The browser's download was stopped" });
    }
    this.#requestedChunks -= 1;
    const own = chunk.slice(); // frames share a buffer with their header
    this.#port.postMessage(own, [own.buffer]);
  }

  reset(): void {
    throw new SaveError("file-replaced"); // the browser's download can't be restarted
  }

  async finish(): Promise<undefined> {
    this.#port.postMessage("end");
  }

  async release(): Promise<void> {
    this.#port.postMessage("abort"); // ignored after the end
  }
}
