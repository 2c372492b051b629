//! The names of NATS subjects, streams and buckets.
//!
//! Tenants and users come from bearer tokens and may be any string. [`token`] encodes each string as one subject token
//! without wildcards, so a subscription for one user never matches the subjects of another user.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::id::{ExportId, Owner};

/// The work queue of jobs for exporters.
pub const STREAM_JOBS: &str = "SLUICE_JOBS";
/// The work queue of outcomes and commands for the notifier.
pub const STREAM_OUTCOMES: &str = "SLUICE_OUTCOMES";
/// The stream of user events, with a retention of 24 hours.
pub const STREAM_EVENTS: &str = "SLUICE_EVENTS";
/// The stream of dead letters: jobs and outcomes that failed permanently.
pub const STREAM_DEAD: &str = "SLUICE_DEAD";
/// The bucket of the heartbeats of exporters and of the entries of their datasets.
pub const BUCKET_CATALOG: &str = "SLUICE_CATALOG";
/// The bucket of single-use tickets, with which browsers open WebSocket sessions.
pub const BUCKET_TICKETS: &str = "SLUICE_TICKETS";

/// The JetStream stream that holds the data of the bucket [`BUCKET_CATALOG`].
pub const KV_CATALOG: &str = "KV_SLUICE_CATALOG";
/// The JetStream stream that holds the data of the bucket [`BUCKET_TICKETS`].
pub const KV_TICKETS: &str = "KV_SLUICE_TICKETS";

/// The streams that a gateway reads, including those of its buckets.
pub const GATEWAY_STREAMS: [&str; 3] = [STREAM_EVENTS, KV_CATALOG, KV_TICKETS];
/// The streams that an exporter reads, including those of its buckets.
pub const EXPORTER_STREAMS: [&str; 2] = [STREAM_JOBS, KV_CATALOG];

/// The subject filter of [`STREAM_JOBS`].
pub const JOBS_ALL: &str = "sluice.v1.job.>";
/// The prefix of the subjects of commands.
const OUTCOME_COMMAND: &str = "sluice.v1.outcome.command.";
/// The subject filter of [`STREAM_OUTCOMES`]: `outcome.<export_id>` and `outcome.command.<export_id>`.
pub const OUTCOMES_ALL: &str = "sluice.v1.outcome.>";
/// The subject filter of [`STREAM_EVENTS`].
pub const EVENTS_ALL: &str = "sluice.v1.user.>";
/// The subject filter of [`STREAM_DEAD`].
pub const DEAD_ALL: &str = "sluice.v1.dead.>";
/// The subject filter of cancel messages to exporters.
pub const CANCEL_ALL: &str = "sluice.v1.cancel.*";
/// Request for grants of the segments of an export, gateway → notifier.
pub const DELIVERY_GRANT: &str = "sluice.v1.delivery.grant";
/// Request for the metadata document of an export, gateway → notifier.
pub const DELIVERY_METADATA: &str = "sluice.v1.delivery.metadata";
/// The subject of a hint for the dispatcher: an export was committed or ended, or credits changed. Gateways and
/// notifiers send it to the leading notifier.
pub const DELIVERY_SUBMITTED: &str = "sluice.v1.delivery.submitted";
/// The subject of a hint that API keys were deleted, gateway → every gateway. The database decides whether a key
/// exists.
pub const KEY_DELETED: &str = "sluice.v1.key.deleted";
/// The subject filter of messages about durable segments, exporter → notifier.
pub const DELIVERY_WRITTEN_ALL: &str = "sluice.v1.delivery.written.*";

/// Request for the scheduled jobs, operator → notifier.
pub const OPS_SCHEDULE: &str = "sluice.v1.ops.schedule";
/// Request to run a scheduled job now, operator → notifier.
pub const OPS_RUN: &str = "sluice.v1.ops.run";
/// The subject of a hint for every notifier: an operator requested a run of a scheduled job. The database contains the
/// request.
pub const OPS_DUE: &str = "sluice.v1.ops.due";
/// Request for the exports of all owners, operator → notifier.
pub const OPS_EXPORTS: &str = "sluice.v1.ops.exports";
/// Request for one export, operator → notifier.
pub const OPS_EXPORT: &str = "sluice.v1.ops.export";
/// Request to cancel an export, operator → notifier.
pub const OPS_CANCEL: &str = "sluice.v1.ops.cancel";
/// Request for the dead letters, operator → notifier.
pub const OPS_DEAD: &str = "sluice.v1.ops.dead";
/// Request to retry a dead letter, operator → notifier.
pub const OPS_REQUEUE: &str = "sluice.v1.ops.requeue";
/// Request for the running exporters, operator → notifier.
pub const OPS_EXPORTERS: &str = "sluice.v1.ops.exporters";
/// Request for the story of one export, operator or gateway → notifier.
pub const OPS_STORY: &str = "sluice.v1.ops.story";
/// Request for the state of the installation, operator or gateway → notifier.
pub const OPS_OVERVIEW: &str = "sluice.v1.ops.overview";
/// Request to pause a tenant or a user, operator or gateway → notifier.
pub const OPS_PAUSE: &str = "sluice.v1.ops.pause";
/// Request to resume a tenant or a user, operator or gateway → notifier.
pub const OPS_RESUME: &str = "sluice.v1.ops.resume";
/// Request for the paused tenants and users, operator or gateway → notifier.
pub const OPS_PAUSES: &str = "sluice.v1.ops.pauses";

/// The lane of a job, which the number of rows decides. Each lane has a separate consumer, and bulk jobs cannot occupy
/// all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Exports with few rows.
    Interactive,
    /// Exports with many rows, or with an unknown number of rows.
    Bulk,
}

impl Lane {
    /// All lanes, interactive first.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    /// Returns the lane with this name. Returns [`Lane::Bulk`] for an unknown name, which a newer version may have
    /// stored.
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

/// Encodes a string as one NATS subject token. A plain string (1 to 64 ASCII letters, digits, `-` or `_`) stays
/// unchanged. Every other string becomes `=` and its base64url encoding. Different strings have different tokens.
#[must_use]
pub fn token(text: &str) -> String {
    let plain =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain { text.to_owned() } else { format!("={}", URL_SAFE_NO_PAD.encode(text)) }
}

/// The key of an exporter's heartbeat in [`BUCKET_CATALOG`]. The key has no `.`, so it differs from the key of every
/// dataset.
#[must_use]
pub fn catalog_exporter(instance: &str) -> String {
    token(instance)
}

/// The key of a dataset's entry in [`BUCKET_CATALOG`]: the key of its exporter, a `.` and the encoded name.
#[must_use]
pub fn catalog_dataset(instance: &str, dataset: &str) -> String {
    format!("{}.{}", token(instance), token(dataset))
}

/// The subject of a job.
#[must_use]
pub fn job(pool: &str, lane: Lane, id: ExportId) -> String {
    format!("sluice.v1.job.{}.{}.{id}", token(pool), lane.as_str())
}

/// The subject filter of the consumer of a pool and lane.
#[must_use]
pub fn jobs_filter(pool: &str, lane: Lane) -> String {
    format!("sluice.v1.job.{}.{}.*", token(pool), lane.as_str())
}

/// The name of the durable consumer of a pool and lane.
#[must_use]
pub fn job_consumer(pool: &str, lane: Lane) -> String {
    format!("exporters-{}-{}", token(pool).replace('=', "x"), lane.as_str())
}

/// The subject of an outcome.
#[must_use]
pub fn outcome(id: ExportId) -> String {
    format!("sluice.v1.outcome.{id}")
}

/// The subject of a command. A gateway may publish commands, but no outcomes of attempts.
#[must_use]
pub fn outcome_command(id: ExportId) -> String {
    format!("{OUTCOME_COMMAND}{id}")
}

/// Whether this is the subject of a command.
#[must_use]
pub fn is_outcome_command(subject: &str) -> bool {
    subject.starts_with(OUTCOME_COMMAND)
}

/// The subject of a dead letter.
#[must_use]
pub fn dead_letter(reason: &str, id: ExportId) -> String {
    format!("sluice.v1.dead.{}.{id}", token(reason))
}

/// The subject of a user event.
#[must_use]
pub fn user_event(owner: &Owner, event: &str) -> String {
    format!("sluice.v1.user.{}.{}.{}", token(&owner.tenant), token(&owner.user), token(event))
}

/// The subject filter of all events of one user.
#[must_use]
pub fn user_events(owner: &Owner) -> String {
    format!("sluice.v1.user.{}.{}.*", token(&owner.tenant), token(&owner.user))
}

/// The subject of the progress reports of one export.
#[must_use]
pub fn progress(owner: &Owner, id: ExportId) -> String {
    format!("sluice.v1.progress.{}.{}.{id}", token(&owner.tenant), token(&owner.user))
}

/// The subject filter of the progress reports of one user.
#[must_use]
pub fn user_progress(owner: &Owner) -> String {
    format!("sluice.v1.progress.{}.{}.*", token(&owner.tenant), token(&owner.user))
}

/// The subject that announces the cancellation of an export to the exporters.
#[must_use]
pub fn cancel(id: ExportId) -> String {
    format!("sluice.v1.cancel.{id}")
}

/// The subject on which an exporter reports a durable segment.
#[must_use]
pub fn delivery_written(id: ExportId) -> String {
    format!("sluice.v1.delivery.written.{id}")
}

/// The subject of the announcements of one export, notifier → gateways.
#[must_use]
pub fn delivery_announce(id: ExportId) -> String {
    format!("sluice.v1.delivery.announce.{id}")
}

/// The subject of the request to drain one exporter, operator → exporter.
#[must_use]
pub fn ops_drain(instance: &str) -> String {
    format!("sluice.v1.ops.drain.{}", token(instance))
}

/// The subject of the request to end the drain of one exporter, operator → exporter.
#[must_use]
pub fn ops_undrain(instance: &str) -> String {
    format!("sluice.v1.ops.undrain.{}", token(instance))
}

/// The subject of estimate requests to the exporters of a pool, gateway → exporter.
#[must_use]
pub fn delivery_estimate(pool: &str) -> String {
    format!("sluice.v1.delivery.estimate.{}", token(pool))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_becomes_one_unique_safe_token() {
        let names = ["", "*", ">", "a.b", "a b", "=", "=Kg", "Kg", "é", "a\r\n", "acme", "x".repeat(65).as_str()]
            .map(str::to_owned);
        let tokens: HashSet<_> = names.iter().map(|name| token(name)).collect();
        assert_eq!(tokens.len(), names.len());
        for t in tokens {
            assert!(!t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)), "{t}");
        }
    }

    #[test]
    fn every_dataset_name_makes_a_valid_key_of_two_tokens() {
        let names = ["sales", "a.b", "..", "daily sales / é", "x".repeat(64).as_str(), ""].map(str::to_owned);
        let keys: HashSet<_> = names.iter().map(|name| catalog_dataset("exporter-1", name)).collect();
        assert_eq!(keys.len(), names.len());
        for key in keys {
            let (exporter, dataset) = key.split_once('.').unwrap();
            assert_eq!(exporter, catalog_exporter("exporter-1"));
            // the characters of keys in NATS, without the separator
            assert!(!dataset.is_empty() && dataset.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_=".contains(&b)));
        }
    }

    #[test]
    fn subjects_match_the_protocol_document() {
        let owner = Owner::new("acme", "alice@example.com");
        assert_eq!(user_event(&owner, "completed"), "sluice.v1.user.acme.=YWxpY2VAZXhhbXBsZS5jb20.completed");
        assert_eq!(jobs_filter("default", Lane::Bulk), "sluice.v1.job.default.bulk.*");
    }
}
