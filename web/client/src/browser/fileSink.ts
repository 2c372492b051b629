import { SluiceError } from "../errors.js";
import type { Hasher, Sink } from "../receiver.js";

/** A sink that becomes a file at the end. */
export interface FileSink extends Sink {
  /** Position and hash of the bytes that the sink already has. */
  readonly offset: number;
  readonly hasher: Hasher | undefined;
  /** Completes the file after its verification. Returns the file, unless the sink has saved it. */
  finish(): Promise<Blob | undefined>;
  /** Releases the sink. With `keep` the written bytes stay for a later resume. */
  release(keep: boolean): Promise<void>;
}

/** Returns the error of a full disk. */
export function noRoomError(): SluiceError {
  return new SluiceError({ slug: "no-room", title: "There is no room left on this device" });
}

/** Throws `no-room` for the browser's error of a full disk, and every other error unchanged. */
export function throwNoRoom(cause: unknown): never {
  throw cause instanceof DOMException && cause.name === "QuotaExceededError" ? noRoomError() : cause;
}
