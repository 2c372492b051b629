import type {
  CreditsView,
  DatasetInfo,
  ExportCanceled,
  ExportCompleted,
  ExportExpired,
  ExportFailed,
  FileInfo,
  ExportRequest as RawExportRequest,
  ServerMessage,
  Status,
} from "./contract.js";

export type {
  ClientMessage,
  Column,
  ColumnType,
  CreditEntry,
  CreditsChanged,
  EntryKind,
  Estimate,
  Export,
  ExportAccepted,
  ExportPage,
  ExportProgress,
  FieldError,
  FileClosed,
  FileOpened,
  FileSealed,
  FormatInfo,
  Links,
  Problem,
  Progress,
  ServerMessage,
  SessionLimits,
  SessionReady,
  SessionResumed,
  TemplateInfo,
  Ticket,
} from "./contract.js";

/** Life of an export: `queued → dispatched → running → completed | failed | canceled`, then `expired`. */
export type ExportStatus = Status;

/** A dataset that the caller may export. */
export type Dataset = DatasetInfo;

/** The caller's credit account. */
export type Credits = CreditsView;

/** The sealed file of a completed export. */
export type ExportFile = FileInfo;

/** A typed filter: `{"delay": {"gte": 30}, "or": [...], "not": {...}}`. */
export type Filter = Record<string, unknown>;

/** What to export. */
export type ExportRequest = RawExportRequest;

/** Events that end an export, numbered and replayable. */
export type ExportEnded = ExportCompleted | ExportFailed | ExportCanceled | ExportExpired;

/** Statuses in which nothing more will happen to the file, except that it expires. */
export const END_STATUSES: readonly ExportStatus[] = ["completed", "failed", "canceled", "expired"];

/** True when the export has ended, well or not. */
export function hasEnded(status: ExportStatus): boolean {
  return END_STATUSES.includes(status);
}

/** The server message with a given `type`. */
export type MessageOf<T extends ServerMessage["type"]> = Extract<ServerMessage, { type: T }>;

/** What a program follows: all that the server tells by itself. */
export type SluiceEvent = MessageOf<
  | "export.progress"
  | "export.completed"
  | "export.failed"
  | "export.canceled"
  | "export.expired"
  | "credits.changed"
>;

/** The types of {@link SluiceEvent}. */
export const EVENT_TYPES = [
  "export.progress",
  "export.completed",
  "export.failed",
  "export.canceled",
  "export.expired",
  "credits.changed",
] as const satisfies readonly SluiceEvent["type"][];
