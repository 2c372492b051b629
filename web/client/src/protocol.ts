import type {
  CreditsView,
  DatasetInfo,
  ExportCanceled,
  ExportCompleted,
  ExportExpired,
  ExportFailed,
  ExportUnchanged,
  FileInfo,
  ExportRequest as RawExportRequest,
  ServerMessage,
  Status,
} from "./contract.js";

export type {
  ApiKey,
  ApiKeyPage,
  ApiKeyRequest,
  AttemptInfo,
  ClientMessage,
  Column,
  ColumnType,
  CreatedApiKey,
  CreditEntry,
  CreditsChanged,
  DeadLetter,
  DeadLetterPage,
  DrainResult,
  EntryKind,
  Estimate,
  Export,
  ExportAccepted,
  ExporterInfo,
  ExportPage,
  ExportProgress,
  ExportStory,
  ExportSummary,
  ExportSummaryPage,
  FailureGroup,
  FieldError,
  FileClosed,
  FileOpened,
  FileSealed,
  FormatInfo,
  HistoryEvent,
  HistoryKind,
  Links,
  OperateState,
  OperatorAct,
  Overview,
  Pause,
  PauseResult,
  Problem,
  Progress,
  QueueGroup,
  QueueTotals,
  ResumeResult,
  RetryResult,
  ScheduledJob,
  ServerMessage,
  SessionLimits,
  SessionReady,
  SessionResumed,
  TemplateInfo,
  Ticket,
  WaitingFor,
} from "./contract.js";

/** Status of an export: `queued → dispatched → running → completed | failed | canceled`, then `expired`. */
export type ExportStatus = Status;

/** A dataset that the caller may export. */
export type Dataset = DatasetInfo;

/** The caller's credit account. */
export type Credits = CreditsView;

/** The sealed file of a completed export. */
export type ExportFile = FileInfo;

/** A typed filter: `{"delay": {"gte": 30}, "or": [...], "not": {...}}`. */
export type Filter = Record<string, unknown>;

/** The request of a new export. */
export type ExportRequest = RawExportRequest;

/** Numbered events that end an export. */
export type ExportEnded = ExportCompleted | ExportUnchanged | ExportFailed | ExportCanceled | ExportExpired;

/** Final statuses of an export. A completed export can still expire. */
export const END_STATUSES: readonly ExportStatus[] = [
  "completed",
  "unchanged",
  "failed",
  "canceled",
  "expired",
];

/** Returns whether the export has ended, successfully or not. */
export function hasEnded(status: ExportStatus): boolean {
  return END_STATUSES.includes(status);
}

/** The server message with a given `type`. */
export type MessageOf<T extends ServerMessage["type"]> = Extract<ServerMessage, { type: T }>;

/** The messages that the server sends without a request. */
export type SluiceEvent = MessageOf<
  | "export.progress"
  | "export.completed"
  | "export.unchanged"
  | "export.failed"
  | "export.canceled"
  | "export.expired"
  | "credits.changed"
  | "schedule.paused"
>;

/** The `type` of every {@link SluiceEvent}. */
export const EVENT_TYPES = [
  "export.progress",
  "export.completed",
  "export.unchanged",
  "export.failed",
  "export.canceled",
  "export.expired",
  "credits.changed",
  "schedule.paused",
] as const satisfies readonly SluiceEvent["type"][];
