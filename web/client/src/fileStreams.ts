import { SluiceError } from "./errors.js";
import type { FileFrame } from "./frames.js";
import type { ClientMessage, FileClosed, FileOpened, FileSealed } from "./protocol.js";

/** One item of a stream, in order. `bytes` items come first; an item of another kind is the last. */
export type StreamItem =
  | { kind: "bytes"; offset: number; payload: Uint8Array }
  | { kind: "sealed"; seal: FileSealed }
  | { kind: "closed"; message: FileClosed }
  | { kind: "lost" };

/** Sends a message on the stream's connection. Returns false when that connection is lost. */
export type SendOnConnection = (message: ClientMessage) => boolean;

/**
 * One open file stream of one connection. Received frames are queued until {@link next}; the granted window bounds the
 * queue.
 */
export class FileStream {
  readonly id: number;
  readonly exportId: string;
  readonly offset: number;
  /** Size of the file in bytes; known when the export was complete at opening. */
  readonly size: number | undefined;
  /** The export attempt that writes the bytes. */
  readonly attempt: number | undefined;
  readonly #send: SendOnConnection;
  readonly #items: StreamItem[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(opened: FileOpened, send: SendOnConnection) {
    this.id = opened.stream;
    this.exportId = opened.export_id;
    this.offset = opened.offset;
    this.size = opened.size ?? undefined;
    this.attempt = opened.attempt ?? undefined;
    this.#send = send;
  }

  /** Returns the next item, and waits for it if the queue is empty. Only one caller may wait at a time. */
  async next(signal?: AbortSignal): Promise<StreamItem> {
    for (;;) {
      signal?.throwIfAborted();
      const item = this.#items.shift();
      if (item) {
        return item;
      }
      await new Promise<void>((resolve) => {
        const done = () => {
          signal?.removeEventListener("abort", done);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = done;
        signal?.addEventListener("abort", done, { once: true });
      });
    }
  }

  /**
   * Extends the window by `bytes` bytes. Returns false when the connection is lost; {@link next} then returns `lost`.
   */
  grant(bytes: number): boolean {
    return !this.#ended && this.#send({ type: "file.window", stream: this.id, bytes });
  }

  /** Closes the stream at the server. */
  close(): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#send({ type: "file.close", stream: this.id });
    }
  }

  /** Adds an item to the queue; called by the connection. */
  push(item: StreamItem): void {
    if (this.#ended) {
      return;
    }
    this.#ended = item.kind !== "bytes";
    this.#items.push(item);
    this.#wake?.();
  }
}

/** How long an opened stream waits for a claim, in milliseconds. Its received bytes stay in memory meanwhile. */
const UNCLAIMED_TIMEOUT_MS = 30_000;

interface Unclaimed {
  stream: FileStream;
  timer: ReturnType<typeof setTimeout>;
}

interface Claim {
  exportId: string;
  resolve: (stream: FileStream) => void;
  reject: (error: SluiceError) => void;
}

/**
 * Assigns the frames of one connection to their streams. A stream exists from `file.opened` on, before any caller
 * claims it, because its first frames may follow at once.
 */
export class FileStreamTable {
  readonly #send: SendOnConnection;
  readonly #streams = new Map<number, FileStream>();
  readonly #unclaimed = new Map<number, Unclaimed>();
  readonly #claims = new Set<Claim>();
  readonly #unclaimedMs: number;

  /** `unclaimedMs`: a stream that no caller claims within this time is closed, in milliseconds. */
  constructor(send: SendOnConnection, unclaimedMs = UNCLAIMED_TIMEOUT_MS) {
    this.#send = send;
    this.#unclaimedMs = unclaimedMs;
  }

  /** Number of open streams that no caller has claimed. */
  get unclaimed(): number {
    return this.#unclaimed.size;
  }

  /** Claims the stream that `file.opened` announced, by its number. */
  take(id: number): FileStream | undefined {
    const waiting = this.#unclaimed.get(id);
    clearTimeout(waiting?.timer);
    this.#unclaimed.delete(id);
    return waiting?.stream;
  }

  /** Waits for a stream of this export that the server opens. */
  claim(exportId: string, signal?: AbortSignal): Promise<FileStream> {
    for (const { stream } of this.#unclaimed.values()) {
      if (stream.exportId === exportId) {
        this.take(stream.id);
        return Promise.resolve(stream);
      }
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#claims.delete(claim);
        reject(SluiceError.from(signal?.reason, "aborted"));
      };
      const claim: Claim = {
        exportId,
        resolve: (stream) => {
          signal?.removeEventListener("abort", onAbort);
          resolve(stream);
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#claims.add(claim);
    });
  }

  /** Registers a stream. `explicit`: the stream answers a `file.open`, whose sender claims it by its number. */
  opened(message: FileOpened, explicit: boolean): void {
    const stream = new FileStream(message, this.#send);
    this.#streams.set(stream.id, stream);
    if (!explicit) {
      for (const claim of this.#claims) {
        if (claim.exportId === message.export_id) {
          this.#claims.delete(claim);
          claim.resolve(stream);
          return;
        }
      }
    }
    const timer = setTimeout(() => {
      this.take(stream.id)?.close();
      this.#streams.delete(stream.id);
    }, this.#unclaimedMs);
    this.#unclaimed.set(stream.id, { stream, timer });
  }

  /** Queues a frame. Frames of a closed stream may still arrive; they are dropped. */
  frame(frame: FileFrame): void {
    this.#streams.get(frame.stream)?.push({ kind: "bytes", offset: frame.offset, payload: frame.payload });
  }

  sealed(seal: FileSealed): void {
    this.#end(seal.stream, { kind: "sealed", seal });
  }

  closed(message: FileClosed): void {
    this.#end(message.stream, { kind: "closed", message });
  }

  /** Ends every stream and rejects every pending claim, because the connection is lost. */
  lost(error: SluiceError): void {
    for (const stream of this.#streams.values()) {
      stream.push({ kind: "lost" });
    }
    this.#streams.clear();
    for (const id of [...this.#unclaimed.keys()]) {
      this.take(id);
    }
    for (const claim of this.#claims) {
      claim.reject(error);
    }
    this.#claims.clear();
  }

  #end(id: number, item: StreamItem): void {
    this.#streams.get(id)?.push(item);
    this.#streams.delete(id);
  }
}
