//! What the services say to each other over JetStream, and the trace that ties it together.

use serde::{Deserialize, Serialize};

use crate::{
    ENVELOPE_VERSION,
    export::{Export, FileInfo, Progress},
    id::{ExportId, Owner},
    problem::Problem,
    time::Timestamp,
};

/// The head that every internal message carries beside its own members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// [`ENVELOPE_VERSION`]; a reader refuses any other.
    pub v: u8,
    /// Names the message: the same again when it is published again.
    pub id: String,
    /// W3C Trace Context, so that one export is one trace.
    pub traceparent: String,
    /// The message.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Envelope<T> {
    /// `body` under this message id and trace.
    pub fn new(id: impl Into<String>, traceparent: impl Into<String>, body: T) -> Self {
        Self { v: ENVELOPE_VERSION, id: id.into(), traceparent: traceparent.into(), body }
    }
}

/// A job: the row in the database says the rest, so that the two can never differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which export to make.
    pub export_id: ExportId,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
}

/// What became of an export, or what is asked for it; the notifier settles each exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The export.
    pub export_id: ExportId,
    /// What happened.
    #[serde(flatten)]
    pub result: OutcomeResult,
}

/// The kinds of outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OutcomeResult {
    /// The sealed manifest is in the file store.
    Completed {
        /// The fencing token: an outcome of an older attempt is refused.
        attempt: u32,
        /// The file.
        file: FileInfo,
        /// The time that stands in the file.
        completed_at: Timestamp,
    },
    /// It can't be made.
    Failed {
        /// The fencing token.
        attempt: u32,
        /// Why, for the person.
        problem: Problem,
    },
    /// The owner asked to cancel an unfinished export.
    CancelRequested,
    /// The owner asked to delete the file of a finished one.
    DeleteRequested,
}

impl OutcomeResult {
    /// Whether it says what somebody wants, not what became of an attempt.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        matches!(self, Self::CancelRequested | Self::DeleteRequested)
    }
}

/// A user event in `SLUICE_EVENTS`; its stream sequence is the `seq` that clients see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// What happened.
    pub event: EventBody,
}

/// The kinds of user event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// The file is whole.
    Completed {
        /// The export as it is now.
        export: Box<Export>,
    },
    /// There will be no file.
    Failed {
        /// The export as it is now.
        export: Box<Export>,
    },
    /// It was canceled.
    Canceled {
        /// The export as it is now.
        export: Box<Export>,
    },
    /// The file is gone.
    Expired {
        /// The export as it is now.
        export: Box<Export>,
    },
    /// The balance changed.
    Credits {
        /// What can be spent now.
        balance: i64,
        /// What unfinished exports have set aside.
        held: i64,
        /// `hold`, `capture`, `release`, `grant` or `adjustment`.
        reason: String,
    },
}

impl EventBody {
    /// The event's token in its subject.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
            Self::Expired { .. } => "expired",
            Self::Credits { .. } => "credits",
        }
    }

    /// The export it is about, if any.
    #[must_use]
    pub fn export(&self) -> Option<&Export> {
        match self {
            Self::Completed { export }
            | Self::Failed { export }
            | Self::Canceled { export }
            | Self::Expired { export } => Some(export),
            Self::Credits { .. } => None,
        }
    }
}

/// A progress note on core NATS: may be lost, never waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The export.
    pub export_id: ExportId,
    /// How far it is.
    pub progress: Progress,
}

/// A W3C trace context of version 00 (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Names the whole trace; never zero.
    pub trace_id: u128,
    /// Names the calling span; never zero.
    pub span_id: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// A fresh trace, of which nobody has recorded anything.
    #[must_use]
    pub fn generate() -> Self {
        let (trace_id, span_id) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u64_pair().0);
        Self { trace_id, span_id, sampled: false }
    }

    /// Reads a `traceparent` header; None for anything that is not one, which then starts a fresh trace.
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

    /// The same trace under a new span.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: Self::generate().span_id, ..self }
    }

    /// The header's value.
    #[must_use]
    pub fn traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// The trace id as problems and logs show it.
    #[must_use]
    pub fn trace_id_hex(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_round_trips_and_refuses_others() {
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
