import type { Problem } from "./errors.js";

/** Life of an export: `queued → dispatched → running → completed | failed | canceled`, then `expired`. */
export type ExportStatus =
  | "queued"
  | "dispatched"
  | "running"
  | "completed"
  | "failed"
  | "canceled"
  | "expired";

/** Statuses in which nothing more will happen to the file, except that it expires. */
export const ENDED: readonly ExportStatus[] = ["completed", "failed", "canceled", "expired"];

/** True when the export has ended, well or not. */
export function hasEnded(status: ExportStatus): boolean {
  return ENDED.includes(status);
}

/** How far an export is. */
export interface Progress {
  rows: number;
  rows_total: number | null;
  bytes: number;
  /** How many exports stand before this one; null when it is not waiting. */
  queue_position: number | null;
  eta_ms: number | null;
}

/** The sealed file of a completed export. */
export interface ExportFile {
  name: string;
  size: number;
  rows: number;
  /** Lower-case hex SHA-256 of the whole file; also its ETag. */
  sha256: string;
  media_type: string;
}

/** One export, as REST and the socket show it. Times are RFC 3339 UTC. */
export interface Export {
  id: string;
  dataset: string;
  template: string;
  format: string;
  compression: string;
  filter: Filter | null;
  columns: string[] | null;
  params: Record<string, unknown> | null;
  status: ExportStatus;
  attempt: number;
  requested_at: string;
  started_at: string | null;
  completed_at: string | null;
  expires_at: string | null;
  progress: Progress;
  file: ExportFile | null;
  problem: Problem | null;
  links: { self: string; file: string; metadata: string };
}

/** A typed filter: `{"delay": {"gte": 30}, "or": [...], "not": {...}}`. */
export type Filter = { [key: string]: unknown };

/** What to export. */
export interface ExportRequest {
  dataset: string;
  template?: string;
  format?: string;
  compression?: string;
  filter?: Filter;
  columns?: string[];
  params?: Record<string, unknown>;
}

/** A column of a dataset. Types that a client does not know are treated as `string`. */
export interface Column {
  name: string;
  type: string;
  label?: string | null;
  nullable: boolean;
}

/** A dataset that the caller may export. */
export interface Dataset {
  name: string;
  title: string;
  description: string;
  columns: Column[];
  /** JSON Schema (object) of the dataset's parameters. */
  params: Record<string, unknown>;
  templates: { name: string; title: string }[];
  formats: string[];
  /** `none` first. */
  compressions?: string[];
  rows_estimate: number | null;
  /** What one export of it costs. */
  credits?: number;
}

/** One line of the credit ledger. */
export interface CreditEntry {
  /** `grant`, `hold`, `capture`, `release` or `adjustment`. */
  kind: string;
  /** Added to the balance; negative for a hold. */
  amount: number;
  export_id: string | null;
  reason: string;
  at: string;
}

/** The caller's credit account. */
export interface Credits {
  balance: number;
  held: number;
  next_grant_at: string | null;
  entries: CreditEntry[];
}

/** What an export would cost, and its first rows. */
export interface Estimate {
  rows: number | null;
  bytes: number | null;
  seconds: number | null;
  credits: number;
  preview: unknown[];
}

/** A page of exports, newest first. */
export interface ExportPage {
  items: Export[];
  next_cursor: string | null;
}

/** A single-use ticket for opening a socket. */
export interface Ticket {
  ticket: string;
  expires_at: string;
}

/** First message of every session. */
export interface SessionReady {
  type: "session.ready";
  session_id: string;
  sub: string;
  tenant: string;
  epoch: string;
  seq: number;
  token_expires_at: string;
  heartbeat_ms: number;
  limits: { message_bytes: number; streams: number; window_bytes: number };
  credits: { balance: number; next_grant_at: string | null };
}

/** `recovered: false` means that events were lost: fetch the state by REST. */
export interface SessionResumed {
  type: "session.resumed";
  ref?: string;
  recovered: boolean;
  replayed: number;
}

/** Events that end an export, numbered and replayable. */
export interface ExportEnded {
  type: "export.completed" | "export.failed" | "export.canceled" | "export.expired";
  seq: number;
  export: Export;
}

/** The credit balance changed. */
export interface CreditsChanged {
  type: "credits.changed";
  seq: number;
  balance: number;
  held: number;
  reason: string;
}

/** A file stream is open; its frames follow. */
export interface FileOpened {
  type: "file.opened";
  ref?: string | null;
  stream: number;
  export_id: string;
  offset: number;
  size?: number | null;
  /** Which try makes or made these bytes; sent along when the stream is opened again at an offset. */
  attempt?: number | null;
}

/** All bytes of a stream were sent, and the file is whole. */
export interface FileSealed {
  type: "file.sealed";
  stream: number;
  size: number;
  rows: number;
  sha256: string;
}

/** A stream ended before the seal. */
export interface FileClosed {
  type: "file.closed";
  stream: number;
  problem?: Problem | null;
}

/** Every message that the server sends as text. */
export type ServerMessage =
  | SessionReady
  | SessionResumed
  | { type: "session.refreshed"; ref?: string; token_expires_at: string }
  /** Answers `export.create`, and `export.cancel` with the export as it then stands. */
  | { type: "export.accepted"; ref?: string; export: Export }
  | { type: "export.progress"; export_id: string; progress: Progress }
  | ExportEnded
  | CreditsChanged
  | FileOpened
  | FileSealed
  | FileClosed
  | { type: "pong"; ref?: string }
  | { type: "error"; ref?: string | null; problem: Problem };

/** Every message that a client sends. `ref` is added by the session. */
export type ClientMessage =
  | { type: "session.resume"; epoch: string; seq: number }
  | { type: "session.refresh"; token: string }
  | ({
      type: "export.create";
      idempotency_key?: string;
      deliver: "notify" | "stream";
      window?: number;
    } & ExportRequest)
  | { type: "export.cancel"; export_id: string }
  | {
      type: "file.open";
      export_id: string;
      offset?: number;
      window?: number;
      attempt?: number;
    }
  | { type: "file.window"; stream: number; bytes: number }
  | { type: "file.close"; stream: number }
  | { type: "ping" };

/** The server message with a given `type`. */
export type MessageOf<T extends ServerMessage["type"]> = Extract<ServerMessage, { type: T }>;
