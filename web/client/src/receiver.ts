import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { SluiceError } from "./errors.js";

/** Where the bytes of a download go. */
export interface Sink {
  /**
   * Takes the next bytes, which are the sink's from then on, their buffer included. Until its promise resolves no more than
   * the window is fetched.
   */
  write(chunk: Uint8Array): void | Promise<void>;
  /** Throws away everything written so far: the file begins again at 0. */
  reset(): void | Promise<void>;
}

/** An incremental SHA-256. */
export interface Hasher {
  update(chunk: Uint8Array): Hasher;
  clone(): Hasher;
  digest(): Uint8Array;
}

/** A new SHA-256 state, for downloads that go on from bytes of an earlier visit. */
export function newHasher(): Hasher {
  return sha256.create();
}

/** What a verified download was. */
export interface DownloadResult {
  size: number;
  /** Data rows in the file, as sealed. */
  rows: number;
  /** Lower-case hex, as sealed. */
  sha256: string;
  /** The digest of the bytes was computed here and is the sealed one. */
  verified: boolean;
}

/** What a {@link Receiver} works with. */
export interface ReceiverOptions {
  sink: Sink;
  /** First byte that will come; the sink holds those before it. */
  offset: number;
  /** State over the bytes before `offset`; without it the digest of a file that is gone on with can't be checked. */
  hasher?: Hasher | undefined;
  /** Default: {@link newHasher}. */
  newHasher?: (() => Hasher) | undefined;
  onProgress?: ((received: number) => void) | undefined;
}

/** Takes bytes in order from any transport, hashes them once, and judges the end. */
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

  /** Takes the bytes that begin at `offset`, which must be the next ones. */
  async accept(offset: number, chunk: Uint8Array): Promise<void> {
    if (offset !== this.#position) {
      throw new SluiceError({
        slug: "protocol",
        title: "Bytes out of order",
        detail: `got offset ${offset}, expected ${this.#position}`,
      });
    }
    const { byteLength } = chunk; // of a buffer that the sink gave away it would be 0
    this.#hasher?.update(chunk);
    try {
      await this.#options.sink.write(chunk);
    } catch (cause) {
      throw SluiceError.from(cause, "sink"); // no other try would mend it
    }
    this.#position += byteLength;
    this.#options.onProgress?.(this.#position);
  }

  /** Starts again from 0. */
  async restart(): Promise<void> {
    await this.#options.sink.reset();
    this.#position = 0;
    this.#hasher = this.#newHasher();
    this.#options.onProgress?.(0);
  }

  /**
   * Judges the whole file.
   *
   * @throws SluiceError `digest-mismatch` when size or digest differ from what was sealed.
   */
  finish(sealed: { size: number; rows: number; sha256: string }): DownloadResult {
    const digest = this.#hasher ? bytesToHex(this.#hasher.clone().digest()) : undefined;
    if (sealed.size !== this.#position || (digest !== undefined && digest !== sealed.sha256)) {
      throw new SluiceError({
        slug: "digest-mismatch",
        title: "The received file is not the exported one",
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
