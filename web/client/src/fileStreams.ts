import { SluiceError } from "./errors.js";
import type { FileFrame } from "./frames.js";
import type { ClientMessage, FileClosed, FileOpened, FileSealed } from "./protocol.js";

/** What a stream yields, in order. After anything but `bytes` nothing follows. */
export type StreamItem =
  | { kind: "bytes"; offset: number; payload: Uint8Array }
  | { kind: "sealed"; seal: FileSealed }
  | { kind: "closed"; message: FileClosed }
  | { kind: "lost" };

/** Sends a message on the connection that a stream belongs to; false when that connection is gone. */
export type SendOnConnection = (message: ClientMessage) => boolean;

/**
 * One open file stream of one connection. Frames wait here until {@link next} takes them, which is bounded
 * by the window that was granted, as the server never sends more.
 */
export class FileStream {
  readonly id: number;
  readonly exportId: string;
  readonly offset: number;
  /** Known at once when the export was complete at opening. */
  readonly size: number | undefined;
  /** Which try makes or made the bytes. */
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

  /** Takes the next item, waiting for it if need be. One taker at a time. */
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

  /** Grants `bytes` more. False when the connection is gone, which {@link next} tells as `lost`. */
  grant(bytes: number): boolean {
    return !this.#ended && this.#send({ type: "file.window", stream: this.id, bytes });
  }

  /** Tells the server that no more is wanted. */
  close(): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#send({ type: "file.close", stream: this.id });
    }
  }

  /** Called by the owner of the connection. */
  push(item: StreamItem): void {
    if (this.#ended) {
      return;
    }
    this.#ended = item.kind !== "bytes";
    this.#items.push(item);
    this.#wake?.();
  }
}

/** How long a stream waits for somebody who wants it, in milliseconds; what it sent meanwhile is in memory. */
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
 * Sorts the frames of one connection into streams. A stream exists from the moment of `file.opened`, before
 * anybody asks for it, because its first frames may come right behind.
 */
export class FileStreamTable {
  readonly #send: SendOnConnection;
  readonly #streams = new Map<number, FileStream>();
  readonly #unclaimed = new Map<number, Unclaimed>();
  readonly #claims = new Set<Claim>();
  readonly #unclaimedMs: number;

  /** `unclaimedMs`: a stream that nobody wants for so long is closed. */
  constructor(send: SendOnConnection, unclaimedMs = UNCLAIMED_TIMEOUT_MS) {
    this.#send = send;
    this.#unclaimedMs = unclaimedMs;
  }

  /** How many streams wait for somebody who wants them. */
  get unclaimed(): number {
    return this.#unclaimed.size;
  }

  /** Takes the stream that a `file.opened` announced. */
  take(id: number): FileStream | undefined {
    const waiting = this.#unclaimed.get(id);
    clearTimeout(waiting?.timer);
    this.#unclaimed.delete(id);
    return waiting?.stream;
  }

  /** Waits for a stream of this export that the server opens by itself. */
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

  /** `explicit`: it answers a `file.open`, whose sender takes it by number. */
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

  /** Frames of a stream that was closed may still be on their way: they are dropped. */
  frame(frame: FileFrame): void {
    this.#streams.get(frame.stream)?.push({ kind: "bytes", offset: frame.offset, payload: frame.payload });
  }

  sealed(seal: FileSealed): void {
    this.#end(seal.stream, { kind: "sealed", seal });
  }

  closed(message: FileClosed): void {
    this.#end(message.stream, { kind: "closed", message });
  }

  /** The connection is gone: every stream and every waiting claim is received. */
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
