import type { Sink } from "@sluice/client";

/** Bytes gathered on the page's heap before they are handed to the browser as one part. */
const PART_BYTES = 4 * 1024 * 1024;

/** Collects a file as Blob parts, which the browser may keep on disk, so that the page's own heap stays small. */
export class BlobSink implements Sink {
  #parts: Blob[] = [];
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #pendingBytes = 0;

  write(chunk: Uint8Array): void {
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
  }

  /** The whole, as a file of this type. */
  blob(type: string): Blob {
    this.#flush();
    return new Blob(this.#parts, { type });
  }

  #flush(): void {
    if (this.#pendingBytes > 0) {
      this.#parts.push(new Blob(this.#pending));
      this.#pending = [];
      this.#pendingBytes = 0;
    }
  }
}
