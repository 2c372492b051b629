// Made by `npm run contract` from docs/openapi.json and docs/asyncapi.json. Do not edit.

/** Every message that a client sends. */
export type ClientMessage =
  | ExportCancel
  | ExportCreate
  | FileClose
  | FileOpen
  | FileWindow
  | Ping
  | SessionRefresh
  | SessionResume;

/** One column of a dataset. */
export interface Column {
  /** A label for people, where it has one. */
  label?: string | null;
  /** Whether the caller has it masked only: then no filter can ask about it. */
  masked?: boolean;
  /** The name in filters, in `columns` and in the file's header. */
  name: string;
  /** Whether it may be NULL. */
  nullable: boolean;
  /** Its type. */
  type: ColumnType;
}

/** The type of a column, as clients and filters see it. */
export type ColumnType = "string" | "int" | "float" | "decimal" | "bool" | "date" | "datetime" | "time";

/** One line of the ledger. */
export interface CreditEntry {
  /** Added to the balance; negative for a hold. */
  amount: number;
  /** When it was written. */
  at: Timestamp;
  /** The export concerned, if any. */
  export_id?: ExportId | null;
  /** What it is for. */
  kind: EntryKind;
  /** For people. */
  reason: string;
}

/** Event: the balance changed. */
export interface CreditsChanged {
  /** What can be spent now. */
  balance: number;
  /** What unfinished exports have set aside. */
  held: number;
  /** Why it changed. */
  reason: string;
  /** The event's number. */
  seq: number;
  type: "credits.changed";
}

/** The short form in `session.ready`. */
export interface CreditsSummary {
  /** What can be spent now. */
  balance: number;
  /** When the next credit is granted. */
  next_grant_at: Timestamp;
}

/** The answer of `GET /v1/credits`. */
export interface CreditsView {
  /** What can be spent now. */
  balance: number;
  /** The newest entries first. */
  entries: CreditEntry[];
  /** What unfinished exports have set aside; not part of the balance. */
  held: number;
  /** When the next credit is granted. */
  next_grant_at: Timestamp;
}

/** A dataset as `GET /v1/datasets` shows it. */
export interface DatasetInfo {
  /** Its columns, in their own order. */
  columns: Column[];
  /** The compressions on offer, by any of the formats. */
  compressions: string[];
  /** What one export of it costs. */
  credits: number;
  /** For people. */
  description: string;
  /** The formats on offer. */
  formats: string[];
  /** The formats with what each of them can do. */
  formats_info?: FormatInfo[];
  /** The name in requests and scopes. */
  name: string;
  /** JSON Schema of `params`. */
  params: Record<string, unknown>;
  /** About how many rows it has, where that is known. */
  rows_estimate?: number | null;
  /** Its templates; the first is the default one. */
  templates: TemplateInfo[];
  /** For people. */
  title: string;
}

/** The answer of `GET /v1/datasets`. */
export interface DatasetList {
  /** What the caller may export, by name. */
  items: DatasetInfo[];
}

/** How the one who creates an export wants to have its file. */
export type Deliver = "notify" | "stream";

/** What a ledger entry is for. */
export type EntryKind = "grant" | "hold" | "capture" | "release" | "adjustment";

/** The request with this `ref` was refused. */
export interface ErrorMessage {
  /** Why. */
  problem: Problem;
  /** The request's `ref`. */
  ref?: string | null;
  type: "error";
}

/** What an export would be, from statistics and a few rows: nothing is read whole, and nothing is charged. */
export interface Estimate {
  /** About how many bytes the file would have. */
  bytes?: number | null;
  /** What it would cost. */
  credits: number;
  /** Whether `rows` is no estimate but counted. */
  exact: boolean;
  /** The first rows as objects, at most ten; long texts are cut, which a final `…` shows. */
  preview: Record<string, unknown>[];
  /** About how many rows; null where nothing is known. */
  rows?: number | null;
  /** About how many seconds an exporter would need, once it begins. */
  seconds?: number | null;
}

/** One export, as every part of the contract shows it. */
export interface Export {
  /** Which try made or makes the file: 0 before the first, then 1, 2, … */
  attempt: number;
  /** The columns asked for, in order; empty for those of the template. */
  columns: string[];
  /** When the last byte was made; also in the file. */
  completed_at?: Timestamp | null;
  /** `none` and others that the format offers. */
  compression: string;
  /** What is exported. */
  dataset: string;
  /** Until when the file is kept. */
  expires_at?: Timestamp | null;
  /** The file; null until `completed`. */
  file?: FileInfo | null;
  /** The filter as it was asked for; `{}` for none. */
  filter: Record<string, unknown>;
  /** `csv` and others that the dataset offers. */
  format: string;
  /** Names it everywhere. */
  id: ExportId;
  /** Where things are. */
  links: Links;
  /** The dataset's parameters as asked for. */
  params: Record<string, unknown>;
  /** Why there is no file, for `failed` and `canceled`. */
  problem?: Problem | null;
  /** How far it is. */
  progress: Progress;
  /** When the gateway took the request; also in the file. */
  requested_at: Timestamp;
  /** When the first attempt began. */
  started_at?: Timestamp | null;
  /** Where it stands. */
  status: Status;
  /** How it is laid out. */
  template: string;
}

/** The answer to `export.create`, and to `export.cancel` as the export then stands. */
export interface ExportAccepted {
  /** The export. */
  export: Export;
  /** The request's `ref`. */
  ref?: string | null;
  type: "export.accepted";
}

/** `export.cancel`. */
export interface ExportCancel {
  /** The export. */
  export_id: ExportId;
  /** Comes back with the direct answer. */
  ref?: string;
  type: "export.cancel";
}

/** Event: it was canceled. */
export interface ExportCanceled {
  /** The export as it was then. */
  export: Export;
  /** The event's number. */
  seq: number;
  type: "export.canceled";
}

/** Event: the file is whole. */
export interface ExportCompleted {
  /** The export as it was then. */
  export: Export;
  /** The event's number. */
  seq: number;
  type: "export.completed";
}

/** `export.create`. */
export interface ExportCreate {
  /** As in [`ExportRequest`]. */
  columns?: string[] | null;
  /** As in [`ExportRequest`]. */
  compression?: string | null;
  /** As in [`ExportRequest`]. */
  dataset: string;
  /** `notify` when absent. */
  deliver?: Deliver;
  /** As in [`ExportRequest`]. */
  filter?: Record<string, unknown>;
  /** As in [`ExportRequest`]. */
  format?: string | null;
  /** The same key and body give the same export. */
  idempotency_key?: string | null;
  /** As in [`ExportRequest`]. */
  params?: Record<string, unknown> | null;
  /** Comes back with the direct answer. */
  ref?: string;
  /** As in [`ExportRequest`]. */
  template?: string | null;
  type: "export.create";
  /** The stream's first window, bytes; 1 MiB when absent. */
  window?: number | null;
}

/** Event: the file is gone. */
export interface ExportExpired {
  /** The export as it was then. */
  export: Export;
  /** The event's number. */
  seq: number;
  type: "export.expired";
}

/** Event: there will be no file. */
export interface ExportFailed {
  /** The export as it was then. */
  export: Export;
  /** The event's number. */
  seq: number;
  type: "export.failed";
}

/** Names one export: a UUIDv7, so ids sort by the time of their request (RFC 9562, section 5.7). */
export type ExportId = string;

/** A page of exports, newest first. */
export interface ExportPage {
  /** At most `limit` of them. */
  items: Export[];
  /** Pass it as `cursor` for the next page; null on the last. */
  next_cursor?: string | null;
}

/** At most 5 a second for an export; may be dropped. */
export interface ExportProgress {
  /** The export. */
  export_id: ExportId;
  /** How far it is. */
  progress: Progress;
  type: "export.progress";
}

/** What to export: the body of `POST /v1/exports` and the heart of `export.create`. */
export interface ExportRequest {
  /** Columns in the order wanted; the template's when absent. */
  columns?: string[] | null;
  /** `none` when absent. */
  compression?: string | null;
  /** A name from `GET /v1/datasets`. */
  dataset: string;
  /** See `filter`; everything when absent. */
  filter?: Record<string, unknown>;
  /** One of the dataset's formats; `csv` when absent. */
  format?: string | null;
  /** The dataset's parameters. */
  params?: Record<string, unknown> | null;
  /** One of the dataset's templates; `default` when absent. */
  template?: string | null;
}

/** One fault in the input. */
export interface FieldError {
  /** What is wrong there. */
  detail: string;
  /** JSON pointer (RFC 6901) into the request body. */
  pointer: string;
}

/** `file.close`. */
export interface FileClose {
  /** Comes back with the direct answer. */
  ref?: string;
  /** The stream. */
  stream: number;
  type: "file.close";
}

/** The stream ended before the seal. */
export interface FileClosed {
  /** Why; absent when the client closed it. */
  problem?: Problem | null;
  /** The `ref` of the `file.close` that this answers, if it does. */
  ref?: string | null;
  /** The stream. */
  stream: number;
  type: "file.closed";
}

/** The finished file. */
export interface FileInfo {
  /** For `Content-Type`. */
  media_type: string;
  /** A name to save it under. */
  name: string;
  /** Data rows, without the header. */
  rows: number;
  /** SHA-256 of all bytes, lower-case hex; also the strong `ETag`. */
  sha256: string;
  /** Bytes. */
  size: number;
}

/** `file.open`. */
export interface FileOpen {
  /**
   * The attempt of the bytes before `offset`, as `file.opened` named it: with it, bytes of another attempt are
   * refused with `restarted` instead of being found out by the digest at the end.
   */
  attempt?: number | null;
  /** The export. */
  export_id: ExportId;
  /** The first byte wanted; 0 when absent. */
  offset?: number;
  /** Comes back with the direct answer. */
  ref?: string;
  type: "file.open";
  /** The first window, bytes; 1 MiB when absent. */
  window?: number | null;
}

/** A file stream is open. */
export interface FileOpened {
  /**
   * The attempt that makes or made these bytes, once there is one. Send it along when the stream is opened
   * again at an offset.
   */
  attempt?: number | null;
  /** The export. */
  export_id: ExportId;
  /** The first byte that will come. */
  offset: number;
  /** The `ref` of the `file.open` or `export.create` that asked for it. */
  ref?: string | null;
  /** The file's size, when the export is complete. */
  size?: number | null;
  /** Names the stream in this session. */
  stream: number;
  type: "file.opened";
}

/** All bytes were sent, and the file is whole. */
export interface FileSealed {
  /** Its data rows. */
  rows: number;
  /** Its SHA-256, lower-case hex. */
  sha256: string;
  /** Bytes of the whole file. */
  size: number;
  /** The stream, now closed. */
  stream: number;
  type: "file.sealed";
}

/** `file.window`: grants more bytes. */
export interface FileWindow {
  /** How many more. */
  bytes: number;
  /** Comes back with the direct answer. */
  ref?: string;
  /** The stream. */
  stream: number;
  type: "file.window";
}

/** One format of a dataset. */
export interface FormatInfo {
  /** How its files may be compressed, the default first. */
  compressions: string[];
  /** The end of a file's name, without its dot. */
  extension: string;
  /** For `Content-Type` of files that are not compressed. */
  media_type: string;
  /** The name in requests. */
  name: string;
}

/** Where things are, relative to the gateway. */
export interface Links {
  /** The bytes. */
  file: string;
  /** The CSVW document. */
  metadata: string;
  /** The export itself. */
  self: string;
}

/** `ping`. */
export interface Ping {
  /** Comes back with the direct answer. */
  ref?: string;
  type: "ping";
}

/** The answer to `ping`. */
export interface Pong {
  /** The request's `ref`. */
  ref?: string | null;
  type: "pong";
}

/** A problem document. Over HTTP its media type is `application/problem+json`. */
export interface Problem {
  /** What happened this time, for people. */
  detail: string;
  /** Each fault in the input, for bad input. */
  errors?: FieldError[];
  /** The path of the request or of the thing concerned. */
  instance?: string | null;
  /** The HTTP status, also when the problem travels over a socket. */
  status: number;
  /** A short title, the same for each slug. */
  title: string;
  /** Finds the request in logs and traces. */
  trace_id?: string | null;
  /** `/problems/<slug>`. */
  type: string;
}

/** How far an export has come. */
export interface Progress {
  /** Bytes written so far. */
  bytes: number;
  /** Estimated milliseconds until the end. */
  eta_ms?: number | null;
  /** How many exports stand before this one; null once it runs. */
  queue_position?: number | null;
  /** Rows written so far. */
  rows: number;
  /** Rows there will be, where that is known. */
  rows_total?: number | null;
}

/** Every message that the server sends as text. */
export type ServerMessage =
  | CreditsChanged
  | ErrorMessage
  | ExportAccepted
  | ExportCanceled
  | ExportCompleted
  | ExportExpired
  | ExportFailed
  | ExportProgress
  | FileClosed
  | FileOpened
  | FileSealed
  | Pong
  | SessionReady
  | SessionRefreshed
  | SessionResumed;

/** What a session allows. */
export interface SessionLimits {
  /** The largest text message, bytes; a larger one ends the session with 1009. */
  message_bytes: number;
  /** How many file streams may be open at once. */
  streams: number;
  /** The most that one `window` or `file.window` may grant, bytes. */
  window_bytes: number;
}

/** The first message of a session. */
export interface SessionReady {
  /** The caller's credits. */
  credits: CreditsSummary;
  /** Names the run of event numbers; a `seq` means nothing under another epoch. */
  epoch: string;
  /** How often the server pings, milliseconds. */
  heartbeat_ms: number;
  /** What the session allows. */
  limits: SessionLimits;
  /** The newest event before this session. */
  seq: number;
  /** Names the session in logs. */
  session_id: string;
  /** Who the caller is. */
  sub: string;
  /** Their tenant. */
  tenant: string;
  /** When the session ends unless refreshed. */
  token_expires_at: Timestamp;
  type: "session.ready";
}

/** `session.refresh`: a newer token of the same person. */
export interface SessionRefresh {
  /** Comes back with the direct answer. */
  ref?: string;
  /** The token. */
  token: string;
  type: "session.refresh";
}

/** The answer to `session.refresh`. */
export interface SessionRefreshed {
  /** The request's `ref`. */
  ref?: string | null;
  /** When the session ends unless refreshed again. */
  token_expires_at: Timestamp;
  type: "session.refreshed";
}

/** `session.resume`: replay events after `seq`. */
export interface SessionResume {
  /** The epoch of the earlier session. */
  epoch: string;
  /** Comes back with the direct answer. */
  ref?: string;
  /** The last event seen. */
  seq: number;
  type: "session.resume";
}

/** The answer to `session.resume`. */
export interface SessionResumed {
  /** false: fetch state by REST. */
  recovered: boolean;
  /** The request's `ref`. */
  ref?: string | null;
  /** How many events follow, in the order of their numbers and before newer ones. */
  replayed: number;
  type: "session.resumed";
}

/** Where an export stands. Only the last four are final, and `completed` can still become `expired`. */
export type Status = "queued" | "dispatched" | "running" | "completed" | "failed" | "canceled" | "expired";

/** One column of a template: a column of the dataset, or a calculated one. */
export interface TemplateColumn {
  /** A label for people, where it has one. */
  label?: string | null;
  /** Whether the caller has it masked only: then no filter can ask about it. */
  masked?: boolean;
  /** The name in filters, in `columns` and in the file's header. */
  name: string;
  /** Whether it may be NULL. */
  nullable: boolean;
  /** The dataset's columns that it is made of. */
  reads: string[];
  /** Its type. */
  type: ColumnType;
}

/** One template of a dataset. */
export interface TemplateInfo {
  /** The columns that may be chosen with it, where they are not those of the dataset. */
  columns?: TemplateColumn[] | null;
  /** The name in requests. */
  name: string;
  /** For people. */
  title: string;
}

/** The answer of `POST /v1/tickets`. */
export interface Ticket {
  /** After this it is refused. */
  expires_at: Timestamp;
  /** Offer it as the subprotocol `sluice.ticket.<ticket>`. */
  ticket: string;
}

/** RFC 3339, UTC, milliseconds */
export type Timestamp = string;
