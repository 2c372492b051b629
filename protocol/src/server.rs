//! What the server sends over the socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    credits::CreditsSummary,
    envelope::EventBody,
    export::{Export, Progress},
    id::ExportId,
    problem::Problem,
    time::Timestamp,
};

/// What a session allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionLimits {
    /// The largest text message, bytes; a larger one ends the session with 1009.
    pub message_bytes: u64,
    /// How many file streams may be open at once.
    pub streams: u32,
    /// The most that one `window` or `file.window` may grant, bytes.
    pub window_bytes: u64,
}

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// The first message of a session.
    #[serde(rename = "session.ready")]
    SessionReady {
        /// Names the session in logs.
        session_id: String,
        /// Who the caller is.
        sub: String,
        /// Their tenant.
        tenant: String,
        /// Names the run of event numbers; a `seq` means nothing under another epoch.
        epoch: String,
        /// The newest event before this session.
        seq: u64,
        /// When the session ends unless refreshed.
        token_expires_at: Timestamp,
        /// How often the server pings, milliseconds.
        heartbeat_ms: u64,
        /// What the session allows.
        limits: SessionLimits,
        /// The caller's credits.
        credits: CreditsSummary,
    },
    /// The answer to `session.resume`.
    #[serde(rename = "session.resumed")]
    SessionResumed {
        /// The request's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// false: fetch state by REST.
        recovered: bool,
        /// How many events follow, in the order of their numbers and before newer ones.
        replayed: u64,
    },
    /// The answer to `session.refresh`.
    #[serde(rename = "session.refreshed")]
    SessionRefreshed {
        /// The request's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// When the session ends unless refreshed again.
        token_expires_at: Timestamp,
    },
    /// The answer to `export.create`, and to `export.cancel` as the export then stands.
    #[serde(rename = "export.accepted")]
    ExportAccepted {
        /// The request's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The export.
        export: Box<Export>,
    },
    /// At most 5 a second for an export; may be dropped.
    #[serde(rename = "export.progress")]
    ExportProgress {
        /// The export.
        export_id: ExportId,
        /// How far it is.
        progress: Progress,
    },
    /// Event: the file is whole.
    #[serde(rename = "export.completed")]
    ExportCompleted {
        /// The event's number.
        seq: u64,
        /// The export as it was then.
        export: Box<Export>,
    },
    /// Event: there will be no file.
    #[serde(rename = "export.failed")]
    ExportFailed {
        /// The event's number.
        seq: u64,
        /// The export as it was then.
        export: Box<Export>,
    },
    /// Event: it was canceled.
    #[serde(rename = "export.canceled")]
    ExportCanceled {
        /// The event's number.
        seq: u64,
        /// The export as it was then.
        export: Box<Export>,
    },
    /// Event: the file is gone.
    #[serde(rename = "export.expired")]
    ExportExpired {
        /// The event's number.
        seq: u64,
        /// The export as it was then.
        export: Box<Export>,
    },
    /// Event: the balance changed.
    #[serde(rename = "credits.changed")]
    CreditsChanged {
        /// The event's number.
        seq: u64,
        /// What can be spent now.
        balance: i64,
        /// What unfinished exports have set aside.
        held: i64,
        /// Why it changed.
        reason: String,
    },
    /// A file stream is open.
    #[serde(rename = "file.opened")]
    FileOpened {
        /// The `ref` of the `file.open` or `export.create` that asked for it.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Names the stream in this session.
        stream: u32,
        /// The export.
        export_id: ExportId,
        /// The first byte that will come.
        offset: u64,
        /// The file's size, when the export is complete.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The attempt that makes or made these bytes, once there is one. Send it along when the stream is opened
        /// again at an offset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// All bytes were sent, and the file is whole.
    #[serde(rename = "file.sealed")]
    FileSealed {
        /// The stream, now closed.
        stream: u32,
        /// Bytes of the whole file.
        size: u64,
        /// Its data rows.
        rows: u64,
        /// Its SHA-256, lower-case hex.
        sha256: String,
    },
    /// The stream ended before the seal.
    #[serde(rename = "file.closed")]
    FileClosed {
        /// The `ref` of the `file.close` that this answers, if it does.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The stream.
        stream: u32,
        /// Why; absent when the client closed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The answer to `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// The request's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The request with this `ref` was refused.
    #[serde(rename = "error")]
    Error {
        /// The request's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Why.
        problem: Box<Problem>,
    },
}

impl ServerMessage {
    /// The message that tells a client of a user event.
    #[must_use]
    pub fn from_event(seq: u64, event: EventBody) -> Self {
        match event {
            EventBody::Completed { export } => Self::ExportCompleted { seq, export },
            EventBody::Failed { export } => Self::ExportFailed { seq, export },
            EventBody::Canceled { export } => Self::ExportCanceled { seq, export },
            EventBody::Expired { export } => Self::ExportExpired { seq, export },
            EventBody::Credits { balance, held, reason } => Self::CreditsChanged { seq, balance, held, reason },
        }
    }

    /// Its `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionReady { .. } => "session.ready",
            Self::SessionResumed { .. } => "session.resumed",
            Self::SessionRefreshed { .. } => "session.refreshed",
            Self::ExportAccepted { .. } => "export.accepted",
            Self::ExportProgress { .. } => "export.progress",
            Self::ExportCompleted { .. } => "export.completed",
            Self::ExportFailed { .. } => "export.failed",
            Self::ExportCanceled { .. } => "export.canceled",
            Self::ExportExpired { .. } => "export.expired",
            Self::CreditsChanged { .. } => "credits.changed",
            Self::FileOpened { .. } => "file.opened",
            Self::FileSealed { .. } => "file.sealed",
            Self::FileClosed { .. } => "file.closed",
            Self::Pong { .. } => "pong",
            Self::Error { .. } => "error",
        }
    }

    /// A refusal.
    #[must_use]
    pub fn error(reference: Option<String>, problem: Problem) -> Self {
        Self::Error { reference, problem: Box::new(problem) }
    }

    /// The message as a text frame.
    ///
    /// # Panics
    /// Never: this type always serialises.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|e| unreachable!("server messages always serialise: {e}"))
    }
}
