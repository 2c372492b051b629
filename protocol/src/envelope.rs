//! The messages that the services exchange over NATS, and the trace context that connects the messages of an export.

use serde::{Deserialize, Serialize};

use crate::{
    ENVELOPE_VERSION,
    export::{Export, FileInfo, Progress},
    id::{ExportId, Owner},
    problem::Problem,
    saved_export::SavedExportId,
    time::Timestamp,
};

/// The envelope of an internal message. In JSON, the members of the message stand beside the members of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// The envelope version, [`ENVELOPE_VERSION`]. A reader refuses every other version.
    pub v: u8,
    /// The id of the message. A sender that publishes again uses the same id, so JetStream drops the duplicate.
    pub id: String,
    /// The W3C trace context. All messages of an export belong to one trace.
    pub traceparent: String,
    /// The message, whose members are flattened into the envelope.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Envelope<T> {
    /// Wraps a message with an id and a trace context.
    pub fn new(id: impl Into<String>, traceparent: impl Into<String>, body: T) -> Self {
        Self { v: ENVELOPE_VERSION, id: id.into(), traceparent: traceparent.into(), body }
    }
}

/// A job for an exporter. The exporter reads all other data of the export from the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The export to run.
    pub export_id: ExportId,
    /// The owner of the export.
    #[serde(flatten)]
    pub owner: Owner,
    /// The number of the job: 0 for the first job of the export, and one more for each later job. An exporter drops a
    /// job after a newer one was published.
    #[serde(default)]
    pub number: u32,
}

/// The outcome of an attempt, or a command to cancel an export or to delete its file. The notifier applies each message
/// exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The id of the export.
    pub export_id: ExportId,
    /// The outcome or the command.
    #[serde(flatten)]
    pub result: OutcomeResult,
}

/// The outcome of an attempt, or a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OutcomeResult {
    /// The attempt completed: the file store holds the whole file and its manifest.
    Completed {
        /// The attempt number. The notifier refuses an outcome of an older attempt.
        attempt: u32,
        /// The file of the export.
        file: FileInfo,
        /// The completion time, equal to the time in the file.
        completed_at: Timestamp,
        /// The SHA-256 of the content without its timestamps, in lower-case hex, if the export wants it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_sha256: Option<String>,
    },
    /// The attempt failed permanently.
    Failed {
        /// The attempt number. The notifier refuses an outcome of an older attempt.
        attempt: u32,
        /// The problem that the owner sees.
        problem: Problem,
    },
    /// A command: cancel the unfinished export.
    CancelRequested,
    /// A command: delete the file of the completed export.
    DeleteRequested,
}

impl OutcomeResult {
    /// Whether this is a command. Gateways may publish commands only.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        matches!(self, Self::CancelRequested | Self::DeleteRequested)
    }
}

/// A user event in the stream `SLUICE_EVENTS`. Clients see the stream sequence number as `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserEvent {
    /// The user who receives the event.
    #[serde(flatten)]
    pub owner: Owner,
    /// The content of the event.
    pub event: EventBody,
}

/// The content of a user event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// The export completed and has a file.
    Completed {
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// The export ended without a file, because its content is that of the last run.
    Unchanged {
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// The export failed and has no file.
    Failed {
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// The export was canceled and has no file.
    Canceled {
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// The file of the export was deleted.
    Expired {
        /// The export in its state after the event.
        export: Box<Export>,
    },
    /// The balance of the user changed.
    Credits {
        /// The credits that the user can spend.
        balance: i64,
        /// The credits that unfinished exports hold.
        held: i64,
        /// The kind of the change: `hold`, `capture`, `release`, `grant` or `adjustment`.
        reason: String,
    },
    /// A schedule of the user was paused.
    SchedulePaused {
        /// The saved export of the schedule.
        saved_export_id: SavedExportId,
        /// The name of the saved export.
        name: String,
        /// Why the schedule is paused, for its owner.
        reason: String,
    },
}

impl EventBody {
    /// The last token of the subject of the event.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Unchanged { .. } => "unchanged",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
            Self::Expired { .. } => "expired",
            Self::Credits { .. } => "credits",
            Self::SchedulePaused { .. } => "schedule-paused",
        }
    }

    /// The export whose end or deletion the event reports, if any.
    #[must_use]
    pub fn export(&self) -> Option<&Export> {
        match self {
            Self::Completed { export }
            | Self::Unchanged { export }
            | Self::Failed { export }
            | Self::Canceled { export }
            | Self::Expired { export } => Some(export),
            Self::Credits { .. } | Self::SchedulePaused { .. } => None,
        }
    }
}

/// A progress report, which core NATS may lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The id of the export.
    pub export_id: ExportId,
    /// The progress of the export.
    pub progress: Progress,
}

/// A W3C trace context of version 00 (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the trace; never zero.
    pub trace_id: u128,
    /// The id of the parent span; never zero.
    pub span_id: u64,
    /// Whether the sender records this trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Returns the context of a new trace. The trace is not recorded.
    #[must_use]
    pub fn generate() -> Self {
        let (trace_id, span_id) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u64_pair().0);
        Self { trace_id, span_id, sampled: false }
    }

    /// Parses a `traceparent` header; None when the header is invalid. The receiver then starts a new trace.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let sized = version.len() == 2 && version != "ff" && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
        if !sized || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok()?;
        let span_id = u64::from_str_radix(span, 16).ok()?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
    }

    /// The same trace with a new span id.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: Self::generate().span_id, ..self }
    }

    /// The value of the `traceparent` header.
    #[must_use]
    pub fn traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// Returns the trace id in lower-case hex, as problems and logs show it.
    #[must_use]
    pub fn trace_id_hex(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_round_trips_and_an_invalid_one_is_refused() {
        let context = TraceContext::generate();
        for context in [context, TraceContext { sampled: true, ..context }.child()] {
            assert_eq!(TraceContext::parse(&context.traceparent()), Some(context));
        }
        let wrong_flags = "00-00000000000000000000000000000001-0000000000000001-zz";
        for bad in ["", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000001-01", wrong_flags] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_outcome_is_one_flat_object() {
        let id = ExportId::generate();
        let outcome = Outcome { export_id: id, result: OutcomeResult::CancelRequested };
        let json = serde_json::to_value(Envelope::new("a", "b", outcome.clone())).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"v": 1, "id": "a", "traceparent": "b", "export_id": id, "result": "cancel_requested"})
        );
        assert_eq!(serde_json::from_value::<Envelope<Outcome>>(json).unwrap().body, outcome);
    }
}
