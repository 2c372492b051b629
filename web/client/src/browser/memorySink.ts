import { SluiceError } from "../errors.js";
import type { FileSink } from "./fileSink.js";

/** Maximum size of a file that is collected in memory, in bytes. */
export const MEMORY_LIMIT = 256 * 1024 * 1024;

/** Number of bytes on the heap that become one Blob part. */
const PART_BYTES = 4 * 1024 * 1024;

/** Collects a file of at most {@link MEMORY_LIMIT} bytes in memory, for browsers without a better method. */
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
