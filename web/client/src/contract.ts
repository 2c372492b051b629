// Made by `npm run contract` from docs/openapi.json and docs/asyncapi.json. Do not edit.

/** A request to change something, with the reason. */
export interface ActRequest {
  /** The reason, which other operators read: 1 to 500 characters. */
  reason: string;
}

/** An API key without its secret. */
export interface ApiKey {
  /** The time at which the key was created. */
  created_at: Timestamp;
  /** The subject who created the key: a user, or another key as `key:<id>`. */
  created_by: string;
  /** The time from which on the key is refused; null for a key that works until it is deleted. */
  expires_at?: Timestamp | null;
  /** The id of the key. The key acts as the subject `key:<id>`. */
  id: ApiKeyId;
  /** The time of the last use, exact to about a minute; null for a key that was never used. */
  last_used_at?: Timestamp | null;
  /** The name of the key. */
  name: string;
  /** The scopes of the key. */
  scopes: string[];
}

/** The id of an API key: a UUIDv7, so that ids sort by the time of creation. The id is no secret. */
export type ApiKeyId = string;

/** The answer of `GET /v1/keys`: a page of keys, newest first. */
export interface ApiKeyPage {
  /** The keys of this page, at most `limit`. */
  items: ApiKey[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/** The body of `POST /v1/keys`. */
export interface ApiKeyRequest {
  /**
   * The time from which on the key is refused. Absent or null: the key works until it is deleted. A key that creates
   * another key passes on its own expiry instead.
   */
  expires_at?: Timestamp | null;
  /** A name for people, 1 to 100 characters. Names need not be unique. */
  name: string;
  /** The scopes of the key, at least one. The caller must have each of them. */
  scopes: string[];
}

/** One attempt at an export. */
export interface AttemptInfo {
  /** The number of bytes in these segments. */
  bytes: number;
  /** The end of the attempt; null while it runs. */
  ended_at?: Timestamp | null;
  /** The exporter that ran the attempt. */
  exporter?: string | null;
  /** The number of the attempt, starting at 1. */
  number: number;
  /** The event that ended the attempt; null while it runs. */
  result?: HistoryKind | null;
  /** The number of data rows in these segments. */
  rows: number;
  /**
   * The number of segments that the file store holds. The segments of earlier attempts and of expired files are
   * deleted.
   */
  segments: number;
  /** The start of the attempt. */
  started_at: Timestamp;
}

/** Every message that a client sends. */
export type ClientMessage =
  | ExportCancel
  | ExportCreate
  | FileClose
  | FileOpen
  | FileWindow
  | OperateUnwatch
  | OperateWatch
  | Ping
  | SavedRun
  | SessionRefresh
  | SessionResume;

/** One column of a dataset. */
export interface Column {
  /** The label of the column for users, if the column has one. */
  label?: string | null;
  /**
   * Whether the moments of a `datetime` column have no time zone. Files and filters write such a moment without an
   * offset, as in `2026-03-29T02:30:00.500`.
   */
  local?: boolean;
  /** Whether the caller sees masked values only. A filter on a masked column is refused. */
  masked?: boolean;
  /** The name of the column in filters, in `columns` and in the header of the file. */
  name: string;
  /** Whether a value may be NULL. */
  nullable: boolean;
  /** The type of the values. */
  type: ColumnType;
}

/** The type of a column in filters and in the catalog. */
export type ColumnType = "string" | "int" | "float" | "decimal" | "bool" | "date" | "datetime" | "time";

/** The answer of `POST /v1/keys`: the new key with its secret. */
export interface CreatedApiKey {
  /** The time at which the key was created. */
  created_at: Timestamp;
  /** The subject who created the key: a user, or another key as `key:<id>`. */
  created_by: string;
  /** The time from which on the key is refused; null for a key that works until it is deleted. */
  expires_at?: Timestamp | null;
  /** The id of the key. The key acts as the subject `key:<id>`. */
  id: ApiKeyId;
  /** The secret, for the header `Authorization: Bearer <key>`. No later answer contains it. */
  key: string;
  /** The time of the last use, exact to about a minute; null for a key that was never used. */
  last_used_at?: Timestamp | null;
  /** The name of the key. */
  name: string;
  /** The scopes of the key. */
  scopes: string[];
}

/** One entry of the credit ledger. */
export interface CreditEntry {
  /** The amount added to the balance; negative for a hold. */
  amount: number;
  /** The time at which the entry was added. */
  at: Timestamp;
  /** The export that caused the entry, if any. */
  export_id?: ExportId | null;
  /** The kind of the entry. */
  kind: EntryKind;
  /** The reason for the entry, for users. */
  reason: string;
}

/** Event: the balance of the user changed. */
export interface CreditsChanged {
  /** The credits that the user can spend. */
  balance: number;
  /** The credits that unfinished exports hold. */
  held: number;
  /** The kind of the change: `hold`, `capture`, `release`, `grant` or `adjustment`. */
  reason: string;
  /** The sequence number of the event. */
  seq: number;
  type: "credits.changed";
}

/** The credits of the caller in `session.ready`. */
export interface CreditsSummary {
  /** The credits that the user can spend. */
  balance: number;
  /** The time of the next daily grant. */
  next_grant_at: Timestamp;
}

/** The answer of `GET /v1/credits`. */
export interface CreditsView {
  /** The credits that the user can spend. */
  balance: number;
  /** The latest ledger entries, newest first. */
  entries: CreditEntry[];
  /** The credits that unfinished exports hold; `balance` does not include them. */
  held: number;
  /** The time of the next daily grant. */
  next_grant_at: Timestamp;
}

/** A dataset in the answer of `GET /v1/datasets`. */
export interface DatasetInfo {
  /** The columns, in the order of the dataset. */
  columns: Column[];
  /** Every compression that at least one format supports. */
  compressions: string[];
  /** The price of one export, in credits. */
  credits: number;
  /** The description of the dataset, for users. */
  description: string;
  /** The names of the formats. */
  formats: string[];
  /** The formats with the compressions and the media type of each. */
  formats_info?: FormatInfo[];
  /** The name of the dataset in requests and scopes. */
  name: string;
  /** The JSON Schema of `params`. */
  params: Record<string, unknown>;
  /** The approximate number of rows, if known. */
  rows_estimate?: number | null;
  /** The templates; the first one is the default. */
  templates: TemplateInfo[];
  /** The title of the dataset, for users. */
  title: string;
}

/** The answer of `GET /v1/datasets`. */
export interface DatasetList {
  /** The datasets that the caller may export, ordered by name. */
  items: DatasetInfo[];
}

/** One dead letter of an export. */
export interface DeadLetter {
  /** The time at which the message became a dead letter. */
  at: Timestamp;
  /** The number of the failed attempt; None for an outcome. */
  attempt?: number | null;
  /** The reason as a sentence for operators. */
  detail: string;
  /** The export of the message; the nil UUID when the message has no export id. */
  export_id: ExportId;
  /** The kind of the message. */
  kind: DeadLetterKind;
  /** The reason as one word; also a token of the NATS subject. */
  reason: string;
  /** The sequence number in the stream of dead letters. */
  sequence: number;
}

/** The kind of the message that became a dead letter. */
export type DeadLetterKind = "job" | "outcome";

/** A page of dead letters, newest first. */
export interface DeadLetterPage {
  /** The dead letters of this page, at most `limit`. */
  items: DeadLetter[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/** How the server delivers the file of a new export. */
export type Deliver = "notify" | "stream";

/** A destination that receives the file of each run. */
export interface DeliveryTarget {
  /** The name of a destination of the installation. */
  destination: string;
  /** The path at the destination; the pattern of the destination when absent. */
  path?: string | null;
}

/** The state of an exporter after its drain began or ended. */
export interface DrainResult {
  /** Whether the exporter accepts no new jobs. */
  draining: boolean;
  /** The name of the exporter. */
  instance: string;
  /** The number of running jobs. */
  running: number;
}

/** The kind of a ledger entry. */
export type EntryKind = "grant" | "hold" | "capture" | "release" | "adjustment";

/** The answer to a request that the server refused. */
export interface ErrorMessage {
  /** The problem with the request. */
  problem: Problem;
  /** The `ref` of the request. */
  ref?: string | null;
  type: "error";
}

/**
 * The estimated size, duration and price of an export. The exporter calculates it from statistics and from a few rows
 * that it reads. An estimate costs no credits.
 */
export interface Estimate {
  /** The approximate size of the file, in bytes; null when unknown. */
  bytes?: number | null;
  /** The price of the export, in credits. */
  credits: number;
  /** Whether `rows` is an exact count. */
  exact: boolean;
  /** The first rows as objects, at most ten. A text that the exporter truncated ends in `…`. */
  preview: Record<string, unknown>[];
  /** The approximate number of rows; null when unknown. */
  rows?: number | null;
  /** The approximate run time in seconds, without the waiting time in the queue; null when unknown. */
  seconds?: number | null;
}

/** The export object in REST answers, session messages and events. */
export interface Export {
  /** The number of the current or last attempt; 0 before the first attempt. */
  attempt: number;
  /** The requested columns, in order; empty for the columns of the template. */
  columns: string[];
  /** The time at which the exporter finished the last row. The file may contain this time too. */
  completed_at?: Timestamp | null;
  /** The compression of the file, such as `none`. */
  compression: string;
  /** The name of the dataset. */
  dataset: string;
  /** The end of the retention of the file. */
  expires_at?: Timestamp | null;
  /** The file of the export; null unless the status is `completed`. */
  file?: FileInfo | null;
  /** The filter of the request, with moments relative to now resolved; `{}` for all rows. */
  filter: Record<string, unknown>;
  /** The format of the file, such as `csv`. */
  format: string;
  /** The id of the export. */
  id: ExportId;
  /** The links of the export. */
  links: Links;
  /** The parameters of the request, with moments relative to now resolved. */
  params: Record<string, unknown>;
  /** The reason for the status `failed` or `canceled`; null for every other status. */
  problem?: Problem | null;
  /** The progress of the export. */
  progress: Progress;
  /** The time at which the gateway accepted the request. The file may contain this time too. */
  requested_at: Timestamp;
  /** The start of the first attempt. */
  started_at?: Timestamp | null;
  /** The status of the export. */
  status: Status;
  /** The name of the template. */
  template: string;
}

/** The answer to `export.create` and `export.cancel`, with the current state of the export. */
export interface ExportAccepted {
  /** The accepted or canceled export. */
  export: Export;
  /** The `ref` of the request. */
  ref?: string | null;
  type: "export.accepted";
}

/** `export.cancel`: cancels an unfinished export. */
export interface ExportCancel {
  /** The id of the export. */
  export_id: ExportId;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  type: "export.cancel";
}

/** Event: the export was canceled and has no file. */
export interface ExportCanceled {
  /** The export in its state after the event. */
  export: Export;
  /** The sequence number of the event. */
  seq: number;
  type: "export.canceled";
}

/** Event: the export completed and has a file. */
export interface ExportCompleted {
  /** The export in its state after the event. */
  export: Export;
  /** The sequence number of the event. */
  seq: number;
  type: "export.completed";
}

/** `export.create`: requests an export and chooses the delivery of its file. */
export interface ExportCreate {
  /** The columns of the file, in order; the columns of the template when absent. */
  columns?: string[] | null;
  /** The name of a compression of the format; `none` when absent. */
  compression?: string | null;
  /** The name of a dataset from `GET /v1/datasets`. */
  dataset: string;
  /** The delivery of the file; `notify` when absent. */
  deliver?: Deliver;
  /** The filter expression; all rows when absent. */
  filter?: Record<string, unknown>;
  /** The name of a format of the dataset; `csv` when absent. */
  format?: string | null;
  /** A repeated request with the same key and body returns the export of the first request. */
  idempotency_key?: string | null;
  /** The parameters of the dataset. */
  params?: Record<string, unknown> | null;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The name of a template of the dataset; `default` when absent. */
  template?: string | null;
  /** The time zone in which moments relative to now, such as `now/d`, are resolved: an IANA name; `UTC` when absent. */
  time_zone?: string | null;
  type: "export.create";
  /** The initial window of the file stream, in bytes; 1 MiB when absent. */
  window?: number | null;
}

/** Event: the file of the export was deleted. */
export interface ExportExpired {
  /** The export in its state after the event. */
  export: Export;
  /** The sequence number of the event. */
  seq: number;
  type: "export.expired";
}

/** Event: the export failed and has no file. */
export interface ExportFailed {
  /** The export in its state after the event. */
  export: Export;
  /** The sequence number of the event. */
  seq: number;
  type: "export.failed";
}

/** The id of an export: a UUIDv7, so that ids sort by the time of the request (RFC 9562, section 5.7). */
export type ExportId = string;

/** A page of exports, newest first. */
export interface ExportPage {
  /** The exports of this page, at most `limit`. */
  items: Export[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/** A progress report, at most five each second. The server may drop progress reports. */
export interface ExportProgress {
  /** The id of the export. */
  export_id: ExportId;
  /** The progress of the export. */
  progress: Progress;
  type: "export.progress";
}

/** A request for an export: the body of `POST /v1/exports`. `export.create` has the same members and more. */
export interface ExportRequest {
  /** The columns of the file, in order; the columns of the template when absent. */
  columns?: string[] | null;
  /** The name of a compression of the format; `none` when absent. */
  compression?: string | null;
  /** The name of a dataset from `GET /v1/datasets`. */
  dataset: string;
  /** The filter expression; all rows when absent. */
  filter?: Record<string, unknown>;
  /** The name of a format of the dataset; `csv` when absent. */
  format?: string | null;
  /** The parameters of the dataset. */
  params?: Record<string, unknown> | null;
  /** The name of a template of the dataset; `default` when absent. */
  template?: string | null;
  /** The time zone in which moments relative to now, such as `now/d`, are resolved: an IANA name; `UTC` when absent. */
  time_zone?: string | null;
}

/** The whole story of one export. */
export interface ExportStory {
  /** What operators did with the export, oldest first. */
  acts: OperatorAct[];
  /** The attempts, oldest first. */
  attempts: AttemptInfo[];
  /** The dead letters of the export, newest first. */
  dead_letters: DeadLetter[];
  /** The events, oldest first, at most 1000. */
  events: HistoryEvent[];
  /** The file of a completed or expired export. */
  file?: StoryFile | null;
  /** The pause because of which the export waits. */
  pause?: Pause | null;
  /** The problem of a failed or canceled export. */
  problem?: Problem | null;
  /** The export that a retry of this failed export created. */
  retried_as?: ExportId | null;
  /** The current state of the export, with its trace id. */
  summary: ExportSummary;
}

/** One export, for operators. The summary has no filter and no parameters, because they may contain personal data. */
export interface ExportSummary {
  /** The number of the current or last attempt; 0 before the first attempt. */
  attempt: number;
  /** The number of bytes written. */
  bytes: number;
  /** The time at which the owner or an operator requested cancellation. */
  cancel_requested_at?: Timestamp | null;
  /** The time at which the exporter finished the last row; None without a complete file. */
  completed_at?: Timestamp | null;
  /** The price of the export, in credits. */
  credits: number;
  /** The name of the dataset. */
  dataset: string;
  /** The exporter that holds the lease of the export, or held the lease when the export ended. */
  exporter?: string | null;
  /** The number of attempts that failed or were abandoned by their exporter. */
  failures: number;
  /** The format of the file. */
  format: string;
  /** The id of the export. */
  id: ExportId;
  /** The lane: `interactive` or `bulk`. */
  lane: string;
  /** The pool of exporters that may run the export. */
  pool: string;
  /** The slug of the problem, for a failed or canceled export. */
  problem?: string | null;
  /** The time of the request. */
  requested_at: Timestamp;
  /** The number of rows written. */
  rows: number;
  /** The start of the first attempt; None before the first attempt. */
  started_at?: Timestamp | null;
  /** The status of the export. */
  status: Status;
  /** The tenant of the owner. */
  tenant: string;
  /** The trace id, which identifies the export in logs and traces. */
  trace_id?: string | null;
  /** The time of the last change of the export. */
  updated_at: Timestamp;
  /** The user who owns the export. */
  user: string;
}

/** A page of exports of all owners, newest first. */
export interface ExportSummaryPage {
  /** The exports of this page, at most `limit`. */
  items: ExportSummary[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/** Event: the export ended without a file, because its rows are those of the last run of its schedule. */
export interface ExportUnchanged {
  /** The export in its state after the event. */
  export: Export;
  /** The sequence number of the event. */
  seq: number;
  type: "export.unchanged";
}

/** One running exporter, from its heartbeat in the catalog. */
export interface ExporterInfo {
  /** The time at which the exporter wrote its last heartbeat. */
  at: Timestamp;
  /** The number of slots that bulk exports may use. */
  bulk_slots: number;
  /** The number of all datasets that the exporter offers. */
  dataset_count: number;
  /** The names of the first datasets that the exporter offers, at most [`MAX_LISTED_DATASETS`]. */
  datasets: string[];
  /** Whether the exporter is draining, so that it accepts no new jobs. */
  draining: boolean;
  /** The name of the exporter. */
  instance: string;
  /** The pool whose jobs the exporter runs. */
  pool: string;
  /** The number of exports that the exporter runs at once; 0 during a drain. */
  slots: number;
}

/** Failed exports of one dataset with the same problem. */
export interface FailureGroup {
  /** The name of the dataset. */
  dataset: string;
  /** The number of failed exports. */
  exports: number;
  /** The newest of these exports. */
  newest: ExportId;
  /** The slug of the problem. */
  problem: string;
}

/** One error in the input of a request. */
export interface FieldError {
  /** The error at this pointer. */
  detail: string;
  /** A JSON pointer (RFC 6901) into the request body. */
  pointer: string;
}

/** `file.close`: closes a file stream. */
export interface FileClose {
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The number of the stream, from `file.opened`. */
  stream: number;
  type: "file.close";
}

/** The stream ended before the end of the file. */
export interface FileClosed {
  /** The reason why the server closed the stream; absent when the client closed the stream. */
  problem?: Problem | null;
  /** The `ref` of the `file.close` that closed the stream, if any. */
  ref?: string | null;
  /** The number of the closed stream. */
  stream: number;
  type: "file.closed";
}

/** The file of a completed export. */
export interface FileInfo {
  /** The media type, as in `Content-Type`. */
  media_type: string;
  /** The suggested file name. */
  name: string;
  /** The number of data rows, without the header. */
  rows: number;
  /** The SHA-256 of the file, in lower-case hex; also the strong `ETag`. */
  sha256: string;
  /** The size in bytes. */
  size: number;
}

/** `file.open`: opens a file stream. */
export interface FileOpen {
  /**
   * The attempt that wrote the bytes before `offset`: the `attempt` of `file.opened`. With this member, the server
   * answers `restarted` instead of bytes of another attempt. Without this member, a client detects bytes of two
   * attempts only by the `sha256` of `file.sealed`.
   */
  attempt?: number | null;
  /** The id of the export. */
  export_id: ExportId;
  /** The position in the file of the first byte to send; 0 when absent. */
  offset?: number;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  type: "file.open";
  /** The initial window, in bytes; 1 MiB when absent. */
  window?: number | null;
}

/** The server opened a file stream. */
export interface FileOpened {
  /**
   * The attempt that writes the bytes, if one has started. A client that continues the download later sends this
   * number in `file.open`.
   */
  attempt?: number | null;
  /** The id of the export. */
  export_id: ExportId;
  /** The position in the file of the first byte that the server sends. */
  offset: number;
  /** The `ref` of the `file.open` or `export.create` that opened the stream. */
  ref?: string | null;
  /** The size of the file in bytes, when the export is completed. */
  size?: number | null;
  /** The number of the stream in this session. */
  stream: number;
  type: "file.opened";
}

/** The server sent all bytes, and the file is complete. */
export interface FileSealed {
  /** The number of data rows. */
  rows: number;
  /** The SHA-256 of the file, in lower-case hex. */
  sha256: string;
  /** The size of the file, in bytes. */
  size: number;
  /** The number of the closed stream. */
  stream: number;
  type: "file.sealed";
}

/** `file.window`: adds bytes to the window of a file stream. */
export interface FileWindow {
  /** The number of bytes that the server may send in addition. */
  bytes: number;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The number of the stream, from `file.opened`. */
  stream: number;
  type: "file.window";
}

/** One format of a dataset. */
export interface FormatInfo {
  /** The compressions of the format, the default first. */
  compressions: string[];
  /** The file name extension, without its dot. */
  extension: string;
  /** The `Content-Type` of an uncompressed file. */
  media_type: string;
  /** The name of the format in requests. */
  name: string;
}

/** One event in the history of an export. */
export interface HistoryEvent {
  /** The time of the event. */
  at: Timestamp;
  /** The number of the current or last attempt; 0 before the first attempt. */
  attempt: number;
  /** The exporter of the attempt. */
  exporter?: string | null;
  /** What happened to the export. */
  kind: HistoryKind;
  /** The part of the installation that the attempt waits for or waited for. */
  waiting_for?: string | null;
}

/** What happened to an export. */
export type HistoryKind =
  | "queued"
  | "dispatched"
  | "taken_back"
  | "attempt_started"
  | "waiting"
  | "continued"
  | "attempt_failed"
  | "attempt_interrupted"
  | "attempt_abandoned"
  | "attempt_crashed"
  | "attempt_released"
  | "cancel_requested"
  | "delete_requested"
  | "completed"
  | "unchanged"
  | "failed"
  | "canceled"
  | "expired";

/** The caller's newest run of a saved export. */
export interface LastRun {
  /** The id of the export. */
  export_id: ExportId;
  /** The time at which the export was requested. */
  requested_at: Timestamp;
  /** The moment of the schedule for which the export ran; null for a run that a user started. */
  scheduled_for?: Timestamp | null;
  /** The current status of the export. */
  status: Status;
}

/** Links of an export, relative to the gateway. */
export interface Links {
  /** The link of the file. */
  file: string;
  /** The link of the CSVW metadata document. */
  metadata: string;
  /** The link of the export object. */
  self: string;
}

/**
 * The state of the installation, after `operate.watch` and after each change, at most once a second. The server may
 * drop such a message while the client reads slowly.
 */
export interface OperateState {
  /** The state of the installation. */
  overview: Overview;
  type: "operate.state";
}

/** `operate.unwatch`: ends `operate.watch`. The server does not answer. */
export interface OperateUnwatch {
  /** The direct answer carries the same `ref`. */
  ref?: string;
  type: "operate.unwatch";
}

/** `operate.watch`: asks for the state of the installation and its changes. Needs the scope `sluice:operate`. */
export interface OperateWatch {
  /** The direct answer carries the same `ref`. */
  ref?: string;
  type: "operate.watch";
}

/** What an operator did, and why. */
export interface OperatorAct {
  /** The action: `pause`, `resume`, `cancel`, `requeue`, `drain` or `undrain`. */
  action: string;
  /** The time of the act. */
  at: Timestamp;
  /** The export that the act is about. */
  export_id?: ExportId | null;
  /** The exporter that the act is about. */
  exporter?: string | null;
  /** The name of the operator. */
  operator: string;
  /** The reason that the operator gave. */
  reason?: string | null;
  /** The tenant that the act is about. */
  tenant?: string | null;
  /** The user that the act is about. */
  user?: string | null;
}

/** The state of the installation. */
export interface Overview {
  /** What operators did last, newest first, at most 20 acts. */
  acts: OperatorAct[];
  /** The time at which the notifier read the state. */
  at: Timestamp;
  /** The number of dead letters. */
  dead_letters: number;
  /** The running exporters, ordered by pool and name, each with at most 5 datasets. */
  exporters: ExporterInfo[];
  /** The number of failed exports that were requested in the last 24 hours. */
  failed: number;
  /** The newest 500 of these failed exports by dataset and problem, those with most exports first. */
  failures: FailureGroup[];
  /** The newest 100 pauses, newest first. */
  pauses: Pause[];
  /** The unfinished exports by pool, lane and owner: at most 200 groups, those with most waiting exports first. */
  queue: QueueGroup[];
  /** The number of groups that `queue` omits. */
  queue_omitted: number;
  /** The scheduled jobs, ordered by name. */
  schedule: ScheduledJob[];
  /** The numbers of all unfinished exports. */
  totals: QueueTotals;
}

/** The request to pause or resume a tenant or a user. */
export interface OwnerActRequest {
  /** The reason, which other operators read: 1 to 500 characters. */
  reason: string;
  /** The tenant, or the tenant of the user. */
  tenant: string;
  /** The user; the whole tenant when absent. */
  user?: string | null;
}

/** A paused tenant or user. */
export interface Pause {
  /** The time since which the exports wait. */
  paused_at: Timestamp;
  /** The operator who paused the tenant or user. */
  paused_by: string;
  /** The reason that the operator gave. */
  reason: string;
  /** The paused tenant, or the tenant of the paused user. */
  tenant: string;
  /** The paused user; null if the whole tenant is paused. */
  user?: string | null;
}

/** The result of a pause. */
export interface PauseResult {
  /** Whether this request paused the tenant or user. */
  changed: boolean;
  /** The pause. If the tenant or user was paused before, the earlier reason stays. */
  pause: Pause;
}

/** `ping`: asks for a `pong`. */
export interface Ping {
  /** The direct answer carries the same `ref`. */
  ref?: string;
  type: "ping";
}

/** The answer to `ping`. */
export interface Pong {
  /** The `ref` of the request. */
  ref?: string | null;
  type: "pong";
}

/** A problem document. The media type over HTTP is `application/problem+json`. */
export interface Problem {
  /** A description of this occurrence, for users. */
  detail: string;
  /** Every error in the input, when the input is invalid. */
  errors?: FieldError[];
  /** The path of the request or of the resource. */
  instance?: string | null;
  /** The HTTP status, also in messages over a WebSocket. */
  status: number;
  /** A short title that depends on the slug only. */
  title: string;
  /** The trace id, which identifies the request in logs and traces. */
  trace_id?: string | null;
  /** The kind of the problem: `/problems/<slug>`. */
  type: string;
}

/** The progress of an export. */
export interface Progress {
  /** The number of bytes written. */
  bytes: number;
  /** The estimated time to completion, in milliseconds; null when unknown. */
  eta_ms?: number | null;
  /** The number of exports that start before this one; null when the export runs or has ended. */
  queue_position?: number | null;
  /** The number of rows written. */
  rows: number;
  /** The total number of rows, if known. */
  rows_total?: number | null;
  /** What the export waits for apart from its place in the queue; null while it waits for nothing else. */
  waiting_for?: WaitingFor | null;
}

/** The unfinished exports of one user in one lane of one pool. */
export interface QueueGroup {
  /** The number of exports that wait for a free slot of an exporter. */
  dispatched: number;
  /** The lane: `interactive` or `bulk`. */
  lane: string;
  /** The time of the oldest of these requests. */
  oldest: Timestamp;
  /** Whether the tenant or the user is paused. */
  paused: boolean;
  /** The pool of exporters that may run the exports. */
  pool: string;
  /** The number of running exports. */
  running: number;
  /** The tenant of the owner. */
  tenant: string;
  /** The user who owns the exports. */
  user: string;
  /** The number of exports that wait in the queue. */
  waiting: number;
}

/** The numbers of all unfinished exports. */
export interface QueueTotals {
  /** The number of exports that wait for a free slot of an exporter. */
  dispatched: number;
  /** The number of queued exports whose owner is paused. */
  paused: number;
  /** The number of running exports. */
  running: number;
  /** The number of exports that wait in the queue, without those of paused owners. */
  waiting: number;
}

/** The result of a resume. */
export interface ResumeResult {
  /** Whether this request ended a pause. */
  changed: boolean;
  /** The pause of the whole tenant, if the exports of the user still wait because of it. */
  still_paused?: Pause | null;
}

/** The result of a retry. */
export interface RetryResult {
  /** The new export of the owner. If only the outcome of the export is settled again, the export itself. */
  export: ExportSummary;
  /** The failed export that runs again as a new one; null if only the outcome is settled again. */
  failed_export_id?: ExportId | null;
}

/** A saved export in the answers of a gateway. */
export interface SavedExport {
  /** The time at which the saved export was created. */
  created_at: Timestamp;
  /** The destinations that receive the file of each run. */
  deliver_to: DeliveryTarget[];
  /** The id of the saved export. */
  id: SavedExportId;
  /** The caller's newest run; null before the first one. */
  last_run?: LastRun | null;
  /** The links of the saved export. */
  links: SavedExportLinks;
  /** The name of the saved export. */
  name: string;
  /** The ways in which the owner is notified of each run; null for those of the owner's preferences. */
  notify?: string[] | null;
  /** The `sub` of the user who owns the saved export. */
  owner: string;
  /** The export request of each run, as its owner wrote it. */
  request: ExportRequest;
  /** The schedule; null for a saved export that runs by hand only. */
  schedule?: Schedule | null;
  /** The time of the last change by the owner. */
  updated_at: Timestamp;
  /** The number of the version, starting at 1. Each change by the owner increases it by one. */
  version: number;
  /** The users who see the saved export. */
  visibility: Visibility;
}

/** The id of a saved export: a UUIDv7, so that ids sort by the time of creation. */
export type SavedExportId = string;

/** Links of a saved export, relative to the gateway. */
export interface SavedExportLinks {
  /** The link of its runs. */
  runs: string;
  /** The link of the saved export. */
  self: string;
}

/** The answer of `GET /v1/saved-exports`: a page of saved exports, newest first. */
export interface SavedExportPage {
  /** The saved exports of this page, at most `limit`. */
  items: SavedExport[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/**
 * The body of `POST /v1/saved-exports`. `PATCH /v1/saved-exports/{id}` changes these members by a merge patch
 * (RFC 7396).
 */
export interface SavedExportRequest {
  /** The destinations that receive the file of each run; none when absent. */
  deliver_to?: DeliveryTarget[];
  /** A name for people, 1 to 100 characters. Names need not be unique. */
  name: string;
  /** The ways in which the owner is notified of each run; those of the owner's preferences when absent. */
  notify?: string[] | null;
  /**
   * The export request of each run, as in `POST /v1/exports`. Moments relative to now, such as `now-1d/d`, are
   * resolved at each run.
   */
  request: ExportRequest;
  /** The moments at which the owner's exports start by themselves; none when absent or null. */
  schedule?: ScheduleRequest | null;
  /** The users who see the saved export; `private` when absent. */
  visibility?: Visibility;
}

/** One run of a saved export: an export like any other. */
export interface SavedExportRun {
  /** The number of the current or last attempt; 0 before the first attempt. */
  attempt: number;
  /** The requested columns, in order; empty for the columns of the template. */
  columns: string[];
  /** The time at which the exporter finished the last row. The file may contain this time too. */
  completed_at?: Timestamp | null;
  /** The compression of the file, such as `none`. */
  compression: string;
  /** The name of the dataset. */
  dataset: string;
  /** The end of the retention of the file. */
  expires_at?: Timestamp | null;
  /** The file of the export; null unless the status is `completed`. */
  file?: FileInfo | null;
  /** The filter of the request, with moments relative to now resolved; `{}` for all rows. */
  filter: Record<string, unknown>;
  /** The format of the file, such as `csv`. */
  format: string;
  /** The id of the export. */
  id: ExportId;
  /** The links of the export. */
  links: Links;
  /** The parameters of the request, with moments relative to now resolved. */
  params: Record<string, unknown>;
  /** The reason for the status `failed` or `canceled`; null for every other status. */
  problem?: Problem | null;
  /** The progress of the export. */
  progress: Progress;
  /** The time at which the gateway accepted the request. The file may contain this time too. */
  requested_at: Timestamp;
  /** The moment of the schedule for which the export ran; null for a run that a user started. */
  scheduled_for?: Timestamp | null;
  /** The start of the first attempt. */
  started_at?: Timestamp | null;
  /** The status of the export. */
  status: Status;
  /** The name of the template. */
  template: string;
}

/** The answer of `GET /v1/saved-exports/{id}/runs`: a page of the caller's runs, newest first. */
export interface SavedExportRunPage {
  /** The runs of this page, at most `limit`. */
  items: SavedExportRun[];
  /**
   * The newest moments of the schedule that passed without a run, because no notifier ran, newest first and at most
   * 100. Empty on every page but the first.
   */
  missed: Timestamp[];
  /** The `cursor` of the next page; null on the last page. */
  next_cursor?: string | null;
}

/** `saved.run`: submits the request of a saved export, and chooses the delivery of its file. */
export interface SavedRun {
  /** The delivery of the file; `notify` when absent. */
  deliver?: Deliver;
  /** A repeated request with the same key returns the export of the first request. */
  idempotency_key?: string | null;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The id of the saved export. */
  saved_export_id: SavedExportId;
  type: "saved.run";
  /** The initial window of the file stream, in bytes; 1 MiB when absent. */
  window?: number | null;
}

/** The schedule of a saved export. */
export interface Schedule {
  /** The moments of the runs, as five fields of cron. */
  cron: string;
  /** Whether the schedule runs. False while it is paused. */
  enabled: boolean;
  /** The next moment; null while the schedule does not run. */
  next_run_at?: Timestamp | null;
  /** Whether a run ends as `unchanged` when its rows are those of the last run. */
  only_if_changed: boolean;
  /** Why Sluice paused the schedule; null for a schedule that is not paused. */
  paused_reason?: string | null;
  /** The IANA name of the time zone of `cron`. */
  zone: string;
}

/** Event: a schedule of the user was paused. */
export interface SchedulePaused {
  /** The name of the saved export. */
  name: string;
  /** Why the schedule is paused. */
  reason: string;
  /** The saved export of the schedule. */
  saved_export_id: SavedExportId;
  /** The sequence number of the event. */
  seq: number;
  type: "schedule.paused";
}

/** The answer of `GET /v1/schedules/preview`. */
export interface SchedulePreview {
  /** The number of credits that the caller gains in a week. */
  credits_per_week: number;
  /** The next five moments, fewer if the expression has fewer. */
  moments: Timestamp[];
  /** The mean number of runs a week. */
  runs_per_week: number;
}

/** The schedule in the body of `POST /v1/saved-exports`. */
export interface ScheduleRequest {
  /** The moments of the runs, as five fields of cron: minute, hour, day of the month, month, day of the week. */
  cron: string;
  /** Whether the schedule runs; true when absent. True ends a pause. */
  enabled?: boolean;
  /**
   * Whether a run ends as `unchanged`, without a file and without cost, when its rows are those of the last run;
   * false when absent.
   */
  only_if_changed?: boolean;
  /** The IANA name of the time zone of `cron`. */
  zone: string;
}

/** A scheduled job and its last run. */
export interface ScheduledJob {
  /** The summary or the error of the run that ended last, as text for operators. */
  detail?: string | null;
  /** The time of the next run; in the past while a run is due. */
  due_at: Timestamp;
  /** The duration of the run that ended last, in milliseconds. */
  duration_ms?: number | null;
  /**
   * The end of the last run that ended. A time before `started_at` means that a run is in progress, or that its
   * notifier stopped.
   */
  ended_at?: Timestamp | null;
  /** The number of runs that failed. */
  failures: number;
  /** The name of the job. */
  name: string;
  /** The time at which an operator requested a run; None after that run. */
  requested_at?: Timestamp | null;
  /** The result of the run that ended last: `ok` or `failed`. */
  result?: string | null;
  /** The notifier that started the last run. */
  runner?: string | null;
  /** The number of runs that ended. */
  runs: number;
  /** The schedule as text for operators, such as a cron expression and its time zone, or `every 30 s`. */
  schedule: string;
  /** The start of the last run. */
  started_at?: Timestamp | null;
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
  | ExportUnchanged
  | FileClosed
  | FileOpened
  | FileSealed
  | OperateState
  | Pong
  | SchedulePaused
  | SessionReady
  | SessionRefreshed
  | SessionResumed;

/** The limits of a session. */
export interface SessionLimits {
  /** The maximum size of a text message, in bytes. A larger message ends the session with close code 1009. */
  message_bytes: number;
  /** The maximum number of open file streams. */
  streams: number;
  /** The maximum value of `window` in a request, and of `bytes` in `file.window`, in bytes. */
  window_bytes: number;
}

/** The first message of a session. */
export interface SessionReady {
  /** The credits of the caller. */
  credits: CreditsSummary;
  /** The epoch of the sequence numbers. A `seq` of another epoch has no meaning. */
  epoch: string;
  /** The interval between pings of the server, in milliseconds. */
  heartbeat_ms: number;
  /** The limits of the session. */
  limits: SessionLimits;
  /** Whether the caller has the scope `sluice:operate`; absent means false. */
  operator?: boolean;
  /** The sequence number of the newest event before this session. */
  seq: number;
  /** The id of the session; the logs of the gateway contain it. */
  session_id: string;
  /** The `sub` claim of the token. */
  sub: string;
  /** The tenant of the caller. */
  tenant: string;
  /**
   * The time at which the server ends the session, unless the client sends `session.refresh` before that time.
   * Null for an API key that does not expire.
   */
  token_expires_at?: Timestamp | null;
  type: "session.ready";
}

/** `session.refresh`: replaces the token of the session by a newer token of the same user. */
export interface SessionRefresh {
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The newer bearer token. */
  token: string;
  type: "session.refresh";
}

/** The answer to `session.refresh`. */
export interface SessionRefreshed {
  /** The `ref` of the request. */
  ref?: string | null;
  /**
   * The time at which the server ends the session, unless the client sends `session.refresh` again. Null for an
   * API key that does not expire.
   */
  token_expires_at?: Timestamp | null;
  type: "session.refreshed";
}

/** `session.resume`: asks for a replay of the events after `seq`. */
export interface SessionResume {
  /** The epoch from the `session.ready` of the earlier session. */
  epoch: string;
  /** The direct answer carries the same `ref`. */
  ref?: string;
  /** The sequence number of the last event that the client received. */
  seq: number;
  type: "session.resume";
}

/** The answer to `session.resume`. */
export interface SessionResumed {
  /** Whether the server replays all missed events. If false, the client must read the exports over REST. */
  recovered: boolean;
  /** The `ref` of the request. */
  ref?: string | null;
  /** The number of replayed events. They follow in the order of their sequence numbers, before newer events. */
  replayed: number;
  type: "session.resumed";
}

/**
 * The status of an export. `unchanged`, `failed`, `canceled` and `expired` are final. `completed` becomes `expired` when the file
 * is deleted.
 */
export type Status =
  | "queued"
  | "dispatched"
  | "running"
  | "completed"
  | "unchanged"
  | "failed"
  | "canceled"
  | "expired";

/** The file of an export, without its name. */
export interface StoryFile {
  /** The end of the retention of the file. */
  expires_at?: Timestamp | null;
  /** The number of data rows. */
  rows: number;
  /** The SHA-256 of the file, in lower-case hex. */
  sha256: string;
  /** The size in bytes. */
  size: number;
}

/** One column of a template: a column of the dataset, or a calculated one. */
export interface TemplateColumn {
  /** The label of the column for users, if the column has one. */
  label?: string | null;
  /**
   * Whether the moments of a `datetime` column have no time zone. Files and filters write such a moment without an
   * offset, as in `2026-03-29T02:30:00.500`.
   */
  local?: boolean;
  /** Whether the caller sees masked values only. A filter on a masked column is refused. */
  masked?: boolean;
  /** The name of the column in filters, in `columns` and in the header of the file. */
  name: string;
  /** Whether a value may be NULL. */
  nullable: boolean;
  /** The names of the dataset columns from which the value is calculated. */
  reads: string[];
  /** The type of the values. */
  type: ColumnType;
}

/** One template of a dataset. */
export interface TemplateInfo {
  /** The columns that a request may choose; absent when a request may choose all columns of the dataset. */
  columns?: TemplateColumn[] | null;
  /** The name of the template in requests. */
  name: string;
  /** The title of the template, for users. */
  title: string;
}

/** A ticket that authenticates one WebSocket handshake. */
export interface Ticket {
  /** The gateway refuses the ticket after this time. */
  expires_at: Timestamp;
  /** The secret; the client offers it as the subprotocol `sluice.ticket.<ticket>`. */
  ticket: string;
}

/** RFC 3339, UTC, milliseconds */
export type Timestamp = string;

/** The users who see a saved export and may run it. Only its owner may change or delete it. */
export type Visibility = "private" | "tenant";

/**
 * What an export waits for: a part of the installation, or an operator. The export continues by itself when the part
 * works again, or when an operator resumes its owner.
 */
export type WaitingFor = "storage" | "database" | "messaging" | "source" | "operator";
