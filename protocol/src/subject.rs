//! NATS subjects, streams and buckets, each built in one place.
//!
//! Tenants and users come from tokens, so any string may be one. [`token`] turns any string into a single safe
//! subject token, and no two strings into the same one: no name can widen a subscription.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::id::{ExportId, Owner};

/// Jobs that exporters pull: a work queue.
pub const STREAM_JOBS: &str = "SLUICE_JOBS";
/// What became of jobs, for the notifier: a work queue.
pub const STREAM_OUTCOMES: &str = "SLUICE_OUTCOMES";
/// User-facing events, kept for 24 hours.
pub const STREAM_EVENTS: &str = "SLUICE_EVENTS";
/// Jobs and outcomes that could not be handled, for operators.
pub const STREAM_DEAD: &str = "SLUICE_DEAD";
/// What exporters offer.
pub const BUCKET_CATALOG: &str = "SLUICE_CATALOG";
/// Single-use tickets for opening sockets from browsers.
pub const BUCKET_TICKETS: &str = "SLUICE_TICKETS";

/// The streams that a gateway reads; a bucket is one too.
pub const GATEWAY_STREAMS: [&str; 3] = [STREAM_EVENTS, "KV_SLUICE_CATALOG", "KV_SLUICE_TICKETS"];
/// The streams that an exporter reads or looks into.
pub const EXPORTER_STREAMS: [&str; 2] = [STREAM_JOBS, "KV_SLUICE_CATALOG"];

/// Everything in [`STREAM_JOBS`].
pub const JOBS_ALL: &str = "sluice.v1.job.>";
/// What the subjects of wishes begin with.
const OUTCOME_COMMAND: &str = "sluice.v1.outcome.command.";
/// Everything in [`STREAM_OUTCOMES`]: `outcome.<export_id>` and `outcome.command.<export_id>`.
pub const OUTCOMES_ALL: &str = "sluice.v1.outcome.>";
/// Everything in [`STREAM_EVENTS`].
pub const EVENTS_ALL: &str = "sluice.v1.user.>";
/// Everything in [`STREAM_DEAD`].
pub const DEAD_ALL: &str = "sluice.v1.dead.>";
/// Every cancel.
pub const CANCEL_ALL: &str = "sluice.v1.cancel.*";
/// Request: grants for the segments of an export (gateway → notifier).
pub const DELIVERY_GRANT: &str = "sluice.v1.delivery.grant";
/// Request: the metadata document of an export (gateway → notifier).
pub const DELIVERY_METADATA: &str = "sluice.v1.delivery.metadata";
/// A hint that the dispatcher has something to do: an export was committed, one has ended, or credits changed (gateway
/// and notifier → the notifier that leads the dispatching).
pub const DELIVERY_SUBMITTED: &str = "sluice.v1.delivery.submitted";
/// Every note of a segment written (exporter → notifier).
pub const DELIVERY_WRITTEN_ALL: &str = "sluice.v1.delivery.written.*";

/// Request: what runs by the clock (operator → notifier).
pub const OPS_SCHEDULE: &str = "sluice.v1.ops.schedule";
/// Request: run a scheduled job now (operator → notifier).
pub const OPS_RUN: &str = "sluice.v1.ops.run";
/// A hint that somebody asked in the database for a scheduled job to run now (operator → every notifier).
pub const OPS_DUE: &str = "sluice.v1.ops.due";
/// Request: exports, whoever they belong to (operator → notifier).
pub const OPS_EXPORTS: &str = "sluice.v1.ops.exports";
/// Request: one export (operator → notifier).
pub const OPS_EXPORT: &str = "sluice.v1.ops.export";
/// Request: cancel an export (operator → notifier).
pub const OPS_CANCEL: &str = "sluice.v1.ops.cancel";
/// Request: dead letters (operator → notifier).
pub const OPS_DEAD: &str = "sluice.v1.ops.dead";
/// Request: give what became a dead letter another chance (operator → notifier).
pub const OPS_REQUEUE: &str = "sluice.v1.ops.requeue";
/// Request: the running exporters (operator → notifier).
pub const OPS_EXPORTERS: &str = "sluice.v1.ops.exporters";

/// How long a job is likely to take; each lane has its own consumer, and bulk can't take every slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Small exports.
    Interactive,
    /// All others.
    Bulk,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    /// The lane of this name. One that this version does not know is served with the patient ones.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|lane| lane.as_str() == name).unwrap_or(Self::Bulk)
    }

    /// The lane as a subject token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

/// A single safe token for any string: itself when it is short and plain, else `=` and its base64url. A plain one
/// never starts with `=`, so the two can't meet.
#[must_use]
pub fn token(text: &str) -> String {
    let plain =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain { text.to_owned() } else { format!("={}", URL_SAFE_NO_PAD.encode(text)) }
}

/// Where a job is published.
#[must_use]
pub fn job(pool: &str, lane: Lane, id: ExportId) -> String {
    format!("sluice.v1.job.{}.{}.{id}", token(pool), lane.as_str())
}

/// What the consumer of a pool and lane filters by.
#[must_use]
pub fn jobs_filter(pool: &str, lane: Lane) -> String {
    format!("sluice.v1.job.{}.{}.*", token(pool), lane.as_str())
}

/// The durable consumer of a pool and lane.
#[must_use]
pub fn job_consumer(pool: &str, lane: Lane) -> String {
    format!("exporters-{}-{}", token(pool).replace('=', "x"), lane.as_str())
}

/// Where an outcome is published.
#[must_use]
pub fn outcome(id: ExportId) -> String {
    format!("sluice.v1.outcome.{id}")
}

/// Where a wish is published that leads to an outcome: the one kind of outcome that a gateway may publish.
#[must_use]
pub fn outcome_command(id: ExportId) -> String {
    format!("{OUTCOME_COMMAND}{id}")
}

/// Whether a subject is one on which only wishes may come.
#[must_use]
pub fn is_outcome_command(subject: &str) -> bool {
    subject.starts_with(OUTCOME_COMMAND)
}

/// Where a dead letter is published.
#[must_use]
pub fn dead_letter(reason: &str, id: ExportId) -> String {
    format!("sluice.v1.dead.{}.{id}", token(reason))
}

/// Where a user event is published.
#[must_use]
pub fn user_event(owner: &Owner, event: &str) -> String {
    format!("sluice.v1.user.{}.{}.{}", token(&owner.tenant), token(&owner.user), token(event))
}

/// All events of one user.
#[must_use]
pub fn user_events(owner: &Owner) -> String {
    format!("sluice.v1.user.{}.{}.*", token(&owner.tenant), token(&owner.user))
}

/// Where progress of one export is published.
#[must_use]
pub fn progress(owner: &Owner, id: ExportId) -> String {
    format!("sluice.v1.progress.{}.{}.{id}", token(&owner.tenant), token(&owner.user))
}

/// The progress of all exports of one user.
#[must_use]
pub fn user_progress(owner: &Owner) -> String {
    format!("sluice.v1.progress.{}.{}.*", token(&owner.tenant), token(&owner.user))
}

/// Where exporters hear that an export was canceled.
#[must_use]
pub fn cancel(id: ExportId) -> String {
    format!("sluice.v1.cancel.{id}")
}

/// Where an exporter says that a segment is durable.
#[must_use]
pub fn delivery_written(id: ExportId) -> String {
    format!("sluice.v1.delivery.written.{id}")
}

/// Where gateways hear of new grants for an export that they stream.
#[must_use]
pub fn delivery_announce(id: ExportId) -> String {
    format!("sluice.v1.delivery.announce.{id}")
}

/// Where one exporter hears that it is to take no new jobs (operator → that exporter).
#[must_use]
pub fn ops_drain(instance: &str) -> String {
    format!("sluice.v1.ops.drain.{}", token(instance))
}

/// Where one exporter hears that it is to take jobs again (operator → that exporter).
#[must_use]
pub fn ops_undrain(instance: &str) -> String {
    format!("sluice.v1.ops.undrain.{}", token(instance))
}

/// Where exporters of a pool hear questions about exports that nobody has asked for yet.
#[must_use]
pub fn delivery_estimate(pool: &str) -> String {
    format!("sluice.v1.delivery.estimate.{}", token(pool))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_can_widen_a_subscription_or_meet_another() {
        let nasty = ["", "*", ">", "a.b", "a b", "=", "=Kg", "Kg", "é", "a\r\n", "acme", "x".repeat(65).as_str()]
            .map(str::to_owned);
        let tokens: HashSet<_> = nasty.iter().map(|name| token(name)).collect();
        assert_eq!(tokens.len(), nasty.len());
        for t in tokens {
            assert!(!t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)), "{t}");
        }
    }

    #[test]
    fn subjects_are_those_of_the_contract() {
        let owner = Owner::new("acme", "alice@example.com");
        assert_eq!(user_event(&owner, "completed"), "sluice.v1.user.acme.=YWxpY2VAZXhhbXBsZS5jb20.completed");
        assert_eq!(jobs_filter("default", Lane::Bulk), "sluice.v1.job.default.bulk.*");
    }
}
