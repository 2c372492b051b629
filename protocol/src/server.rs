//! The messages that the server sends over a WebSocket session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    credits::CreditsSummary,
    envelope::EventBody,
    export::{Export, Progress},
    id::ExportId,
    ops::Overview,
    problem::Problem,
    saved_export::SavedExportId,
    time::Timestamp,
};

/// The limits of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionLimits {
    /// The maximum size of a text message, in bytes. A larger message ends the session with close code 1009.
    pub message_bytes: u64,
    /// The maximum number of open file streams.
    pub streams: u32,
    /// The maximum value of `window` in a request, and of `bytes` in `file.window`, in bytes.
    pub window_bytes: u64,
}

/// A message from the server to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// The first message of a session.
    #[serde(rename = "session.ready")]
    SessionReady {
        /// The id of the session; the logs of the gateway contain it.
        session_id: String,
        /// The `sub` claim of the token.
        sub: String,
        /// The tenant of the caller.
        tenant: String,
        /// The epoch of the sequence numbers. A `seq` of another epoch has no meaning.
        epoch: String,
        /// The sequence number of the newest event before this session.
        seq: u64,
        /// The time at which the server ends the session, unless the client sends `session.refresh` before that time.
        /// Null for an API key that does not expire.
        token_expires_at: Option<Timestamp>,
        /// The interval between pings of the server, in milliseconds.
        heartbeat_ms: u64,
        /// The limits of the session.
        limits: SessionLimits,
        /// The credits of the caller.
        credits: CreditsSummary,
        /// Whether the caller has the scope `sluice:operate`; absent means false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        operator: bool,
    },
    /// The answer to `session.resume`.
    #[serde(rename = "session.resumed")]
    SessionResumed {
        /// The `ref` of the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Whether the server replays all missed events. If false, the client must read the exports over REST.
        recovered: bool,
        /// The number of replayed events. They follow in the order of their sequence numbers, before newer events.
        replayed: u64,
    },
    /// The answer to `session.refresh`.
    #[serde(rename = "session.refreshed")]
    SessionRefreshed {
        /// The `ref` of the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The time at which the server ends the session, unless the client sends `session.refresh` again. Null for an
        /// API key that does not expire.
        token_expires_at: Option<Timestamp>,
    },
    /// The answer to `export.create` and `export.cancel`, with the current state of the export.
    #[serde(rename = "export.accepted")]
    ExportAccepted {
        /// The `ref` of the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The accepted or canceled export.
        export: Box<Export>,
    },
    /// A progress report, at most five each second. The server may drop progress reports.
    #[serde(rename = "export.progress")]
    ExportProgress {
        /// The id of the export.
        export_id: ExportId,
        /// The progress of the export.
        progress: Progress,
    },
    /// Event: the export completed and has a file.
    #[serde(rename = "export.completed")]
    ExportCompleted {
        /// The sequence number of the event.
        seq: u64,
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// Event: the export ended without a file, because its rows are those of the last run of its schedule.
    #[serde(rename = "export.unchanged")]
    ExportUnchanged {
        /// The sequence number of the event.
        seq: u64,
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// Event: the export failed and has no file.
    #[serde(rename = "export.failed")]
    ExportFailed {
        /// The sequence number of the event.
        seq: u64,
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// Event: the export was canceled and has no file.
    #[serde(rename = "export.canceled")]
    ExportCanceled {
        /// The sequence number of the event.
        seq: u64,
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// Event: the file of the export was deleted.
    #[serde(rename = "export.expired")]
    ExportExpired {
        /// The sequence number of the event.
        seq: u64,
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// Event: the balance of the user changed.
    #[serde(rename = "credits.changed")]
    CreditsChanged {
        /// The sequence number of the event.
        seq: u64,
        /// The credits that the user can spend.
        balance: i64,
        /// The credits that unfinished exports hold.
        held: i64,
        /// The kind of the change: `hold`, `capture`, `release`, `grant` or `adjustment`.
        reason: String,
    },
    /// Event: a schedule of the user was paused.
    #[serde(rename = "schedule.paused")]
    SchedulePaused {
        /// The sequence number of the event.
        seq: u64,
        /// The saved export of the schedule.
        saved_export_id: SavedExportId,
        /// The name of the saved export.
        name: String,
        /// Why the schedule is paused.
        reason: String,
    },
    /// The server opened a file stream.
    #[serde(rename = "file.opened")]
    FileOpened {
        /// The `ref` of the `file.open` or `export.create` that opened the stream.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The number of the stream in this session.
        stream: u32,
        /// The id of the export.
        export_id: ExportId,
        /// The position in the file of the first byte that the server sends.
        offset: u64,
        /// The size of the file in bytes, when the export is completed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The attempt that writes the bytes, if one has started. A client that continues the download later sends this
        /// number in `file.open`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// The server sent all bytes, and the file is complete.
    #[serde(rename = "file.sealed")]
    FileSealed {
        /// The number of the closed stream.
        stream: u32,
        /// The size of the file, in bytes.
        size: u64,
        /// The number of data rows.
        rows: u64,
        /// The SHA-256 of the file, in lower-case hex.
        sha256: String,
    },
    /// The stream ended before the end of the file.
    #[serde(rename = "file.closed")]
    FileClosed {
        /// The `ref` of the `file.close` that closed the stream, if any.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The number of the closed stream.
        stream: u32,
        /// The reason why the server closed the stream; absent when the client closed the stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The state of the installation, after `operate.watch` and after each change, at most once a second. The server may
    /// drop such a message while the client reads slowly.
    #[serde(rename = "operate.state")]
    OperateState {
        /// The state of the installation.
        overview: Box<Overview>,
    },
    /// The answer to `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// The `ref` of the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The answer to a request that the server refused.
    #[serde(rename = "error")]
    Error {
        /// The `ref` of the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The problem with the request.
        problem: Box<Problem>,
    },
}

impl ServerMessage {
    /// Converts a user event into the message for the client.
    #[must_use]
    pub fn from_event(seq: u64, event: EventBody) -> Self {
        match event {
            EventBody::Completed { export } => Self::ExportCompleted { seq, export },
            EventBody::Unchanged { export } => Self::ExportUnchanged { seq, export },
            EventBody::Failed { export } => Self::ExportFailed { seq, export },
            EventBody::Canceled { export } => Self::ExportCanceled { seq, export },
            EventBody::Expired { export } => Self::ExportExpired { seq, export },
            EventBody::Credits { balance, held, reason } => Self::CreditsChanged { seq, balance, held, reason },
            EventBody::SchedulePaused { saved_export_id, name, reason } => {
                Self::SchedulePaused { seq, saved_export_id, name, reason }
            }
        }
    }

    /// The member `type` of the message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionReady { .. } => "session.ready",
            Self::SessionResumed { .. } => "session.resumed",
            Self::SessionRefreshed { .. } => "session.refreshed",
            Self::ExportAccepted { .. } => "export.accepted",
            Self::ExportProgress { .. } => "export.progress",
            Self::ExportCompleted { .. } => "export.completed",
            Self::ExportUnchanged { .. } => "export.unchanged",
            Self::ExportFailed { .. } => "export.failed",
            Self::ExportCanceled { .. } => "export.canceled",
            Self::ExportExpired { .. } => "export.expired",
            Self::CreditsChanged { .. } => "credits.changed",
            Self::SchedulePaused { .. } => "schedule.paused",
            Self::FileOpened { .. } => "file.opened",
            Self::FileSealed { .. } => "file.sealed",
            Self::FileClosed { .. } => "file.closed",
            Self::OperateState { .. } => "operate.state",
            Self::Pong { .. } => "pong",
            Self::Error { .. } => "error",
        }
    }

    /// An `error` message for the request with this `ref`.
    #[must_use]
    pub fn error(reference: Option<String>, problem: Problem) -> Self {
        Self::Error { reference, problem: Box::new(problem) }
    }

    /// Encodes the message as a text frame.
    ///
    /// # Panics
    /// Never, because this type always serialises.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|e| unreachable!("server messages always serialise: {e}"))
    }
}
