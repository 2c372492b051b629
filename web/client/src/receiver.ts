import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { SluiceError } from "./errors.js";

/** Destination of a download's bytes. */
export interface Sink {
  /**
   * Writes the next bytes. The sink owns the chunk and its buffer from then on. Until the promise resolves, the server
   * sends no more than the window.
   */
  write(chunk: Uint8Array): void | Promise<void>;
  /** Discards all written bytes, because the file starts again at 0. */
  reset(): void | Promise<void>;
}

/** A SHA-256 state that accepts the bytes in parts. */
export interface Hasher {
  update(chunk: Uint8Array): Hasher;
  clone(): Hasher;
  digest(): Uint8Array;
}

/** Creates a SHA-256 state, for downloads that resume earlier bytes. */
export function newHasher(): Hasher {
  return sha256.create();
}

/** Result of a download. */
export interface DownloadResult {
  size: number;
  /** Number of data rows, from the seal. */
  rows: number;
  /** Lower-case hex digest, from the seal. */
  sha256: string;
  /** Whether the digest of the received bytes was computed and matches the seal. */
  verified: boolean;
}

/** Settings of a {@link Receiver}. */
export interface ReceiverOptions {
  sink: Sink;
  /** Offset of the first byte to receive; the sink has the bytes before it. */
  offset: number;
  /** SHA-256 state over the bytes before `offset`. Without this state the receiver can't verify a resumed file. */
  hasher?: Hasher | undefined;
  /** Creates SHA-256 states. Default: {@link newHasher}. */
  newHasher?: (() => Hasher) | undefined;
  onProgress?: ((received: number) => void) | undefined;
}

/** Accepts bytes in order from any transport, hashes them once, and verifies the file at the end. */
export class Receiver {
  readonly #options: ReceiverOptions;
  #position: number;
  #hasher: Hasher | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#position = options.offset;
    this.#hasher = options.hasher?.clone() ?? (options.offset === 0 ? this.#newHasher() : undefined);
  }

  #newHasher(): Hasher {
    return (this.#options.newHasher ?? newHasher)();
  }

  /** Offset of the next byte. */
  get position(): number {
    return this.#position;
  }

  /** Accepts the bytes at `offset`, which must be the next offset. */
  async accept(offset: number, chunk: Uint8Array): Promise<void> {
    if (offset !== this.#position) {
      throw new SluiceError({
        slug: "protocol",
        title: "Bytes out of order",
        detail: `got offset ${offset}, expected ${this.#position}`,
      });
    }
    const { byteLength } = chunk; // a sink that transfers the buffer leaves a length of 0
    this.#hasher?.update(chunk);
    try {
      await this.#options.sink.write(chunk);
    } catch (cause) {
      throw SluiceError.from(cause, "sink"); // a retry can't repair the sink
    }
    this.#position += byteLength;
    this.#options.onProgress?.(this.#position);
  }

  /** Discards the received bytes and starts again at 0. */
  async restart(): Promise<void> {
    await this.#options.sink.reset();
    this.#position = 0;
    this.#hasher = this.#newHasher();
    this.#options.onProgress?.(0);
  }

  /**
   * Verifies size and digest against the seal.
   *
   * @throws SluiceError `digest-mismatch` when size or digest differ.
   */
  finish(sealed: { size: number; rows: number; sha256: string }): DownloadResult {
    const digest = this.#hasher ? bytesToHex(this.#hasher.clone().digest()) : undefined;
    if (sealed.size !== this.#position || (digest !== undefined && digest !== sealed.sha256)) {
      throw new SluiceError({
        slug: "digest-mismatch",
        title: "The received file differs from the exported file",
        detail: `${this.#position} of ${sealed.size} bytes, SHA-256 ${digest ?? "not computed"}, sealed ${sealed.sha256}`,
      });
    }
    return {
      size: sealed.size,
      rows: sealed.rows,
      sha256: sealed.sha256,
      verified: digest !== undefined,
    };
  }
}
