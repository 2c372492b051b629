import type { DownloadResult, ExportFile, TransferState } from "@sluice/client";
import type { SaveMethod } from "./saveMethod.js";
import type { SerializedError } from "./serializedError.js";

/** What the worker is to do with one file. */
export interface SaveTask {
  exportId: string;
  method: SaveMethod;
  /** The file of the method `file`. */
  handle?: FileSystemFileHandle | undefined;
  /** Where a service worker asks for the bytes, for the method `stream`. */
  port?: MessagePort | undefined;
  /** The service worker answers when it is asked whether it is still there. */
  answers?: boolean | undefined;
  /** Go on with the bytes that are there; else whatever is there is replaced. */
  resume: boolean;
  /** The try that made the bytes that are there. */
  attempt?: number | undefined;
}

/** What the page tells the worker. */
export type ToWorker =
  | { type: "save"; task: SaveTask }
  | { type: "stop"; exportId: string }
  /** The network is back, or somebody wants it tried at once. */
  | { type: "retry" }
  | { type: "token"; requestId: number; token?: string; error?: SerializedError };

/** What the worker tells the page. */
export type FromWorker =
  /** It has been loaded. */
  | { type: "ready" }
  | { type: "token-request"; requestId: number; refresh: boolean }
  | { type: "received"; exportId: string; received: number }
  | { type: "state"; exportId: string; state: TransferState }
  | { type: "attempt"; exportId: string; attempt: number }
  /** `blob` is the whole file, for ways that do not end in a place of their own. */
  | { type: "saved"; exportId: string; file: ExportFile; result: DownloadResult; blob?: Blob }
  | { type: "failed"; exportId: string; error: SerializedError };
