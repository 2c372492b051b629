import type { DownloadResult, ExportFile, TransferState } from "@sluice/client";
import type { SaveMethod } from "./saveMethod.js";
import type { SerializedError } from "./serializedError.js";

/** Task of the worker: save one file. */
export interface SaveTask {
  exportId: string;
  method: SaveMethod;
  /** The chosen file, for method `file`. */
  handle?: FileSystemFileHandle | undefined;
  /** Port to the service worker, for method `stream`. */
  port?: MessagePort | undefined;
  /** Whether the service worker answers keep-alive messages. */
  answers?: boolean | undefined;
  /** Whether to resume existing bytes; otherwise they are replaced. */
  resume: boolean;
  /** The export attempt that wrote the existing bytes. */
  attempt?: number | undefined;
}

/** Messages from the page to the worker. */
export type ToWorker =
  | { type: "save"; task: SaveTask }
  | { type: "stop"; exportId: string }
  /** The worker retries all interrupted downloads at once. */
  | { type: "retry" }
  | { type: "token"; requestId: number; token?: string; error?: SerializedError };

/** Messages from the worker to the page. */
export type FromWorker =
  /** The worker's script has been loaded. */
  | { type: "ready" }
  | { type: "token-request"; requestId: number; refresh: boolean }
  | { type: "received"; exportId: string; received: number }
  | { type: "state"; exportId: string; state: TransferState }
  | { type: "attempt"; exportId: string; attempt: number }
  /** `blob` is the complete file, for methods that have not saved it. */
  | { type: "saved"; exportId: string; file: ExportFile; result: DownloadResult; blob?: Blob }
  | { type: "failed"; exportId: string; error: SerializedError };
