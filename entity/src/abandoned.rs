//! Attempts whose process ended without an outcome, and the exports that are therefore set apart.
//!
//! A process that dies keeps the leases of its attempts until they expire. One of its exports may be the cause of the
//! death, and nothing tells which one. So each of them is set apart: from then on an exporter runs it in a process of
//! its own, whose death harms nothing else and is a sure sign.

use chrono::{DateTime, Utc};
use protocol::export::Status;

use crate::export::Model;

impl Model {
    /// The number of attempts whose lease expired without a release, including the last attempt if its lease has
    /// expired now.
    #[must_use]
    pub fn abandoned(&self, now: DateTime<Utc>) -> u32 {
        // an attempt that released its lease has no `worker`
        let is_abandoned = self.worker.is_some() && self.is_free(now);
        self.abandoned_attempts.unsigned_abs() + u32::from(is_abandoned)
    }

    /// The number of attempts whose own process ended without an outcome.
    #[must_use]
    pub fn crashed(&self) -> u32 {
        self.crashed_attempts.unsigned_abs()
    }

    /// Whether the export must run in a process of its own.
    #[must_use]
    pub(crate) fn is_set_apart(&self, now: DateTime<Utc>) -> bool {
        self.abandoned(now) + self.crashed() > 0
    }

    /// Whether a new attempt may begin: the export waits, or the lease of its last attempt has expired.
    #[must_use]
    pub(crate) fn is_free(&self, now: DateTime<Utc>) -> bool {
        let is = |status: Status| self.status == status.as_str();
        is(Status::Queued)
            || is(Status::Dispatched)
            || (is(Status::Running) && self.lease_expires_at.is_some_and(|expires_at| expires_at <= now))
    }
}
