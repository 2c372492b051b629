import type { DownloadResult, ExportFile, TransferState } from "@sluice/client";
import type { PlainError } from "./plainError.js";
import type { Way } from "./ways.js";

/** What the worker is to do with one file. */
export interface Order {
  exportId: string;
  way: Way;
  /** The file of the way `file`. */
  handle?: FileSystemFileHandle | undefined;
  /** Where a service worker asks for the bytes, for the way `stream`. */
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
  | { type: "save"; order: Order }
  | { type: "stop"; exportId: string }
  /** The network is back, or somebody wants it tried at once. */
  | { type: "retry" }
  | { type: "token"; ask: number; token?: string; error?: PlainError };

/** What the worker tells the page. */
export type FromWorker =
  /** It has been loaded. */
  | { type: "ready" }
  | { type: "ask-token"; ask: number; refresh: boolean }
  | { type: "received"; exportId: string; received: number }
  | { type: "state"; exportId: string; state: TransferState }
  | { type: "attempt"; exportId: string; attempt: number }
  /** `blob` is the whole file, for ways that do not end in a place of their own. */
  | { type: "saved"; exportId: string; file: ExportFile; result: DownloadResult; blob?: Blob }
  | { type: "failed"; exportId: string; error: PlainError };
