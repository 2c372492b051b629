//! Attempts that a dead process left without an outcome, and the exports that are set apart because of them.
//!
//! When an exporter's process dies, the leases of its attempts expire some time later. One of its exports may have
//! ended the process, but Sluice can't tell which one. So Sluice sets all of them apart: from then on, an exporter runs
//! each in a process of its own. If such a process dies, its only export is the cause, and no other export is lost.

use chrono::{DateTime, Utc};
use protocol::export::Status;

use crate::export::Model;

impl Model {
    /// Returns the number of attempts whose lease expired without a release. Counts the last attempt too if its lease
    /// has expired at `now`.
    #[must_use]
    pub fn abandoned(&self, now: DateTime<Utc>) -> u32 {
        // an attempt that released its lease has no `worker`
        let is_abandoned = self.worker.is_some() && self.is_free(now);
        self.abandoned_attempts.unsigned_abs() + u32::from(is_abandoned)
    }

    /// Returns the number of attempts that ran in a process of their own and ended with the death of the process.
    #[must_use]
    pub fn crashed(&self) -> u32 {
        self.crashed_attempts.unsigned_abs()
    }

    /// Whether the export must run in a process of its own: [`Self::abandoned`] or [`Self::crashed`] counts an earlier
    /// attempt. The last attempt does not count if the process `claimant` ran it, because this process lives.
    #[must_use]
    pub(crate) fn is_set_apart(&self, claimant: &str, now: DateTime<Utc>) -> bool {
        let is_own = self.worker.as_deref() == Some(claimant);
        let abandoned = if is_own { self.abandoned_attempts.unsigned_abs() } else { self.abandoned(now) };
        abandoned + self.crashed() > 0
    }

    /// Whether a new attempt may begin at `now`: the export is queued or dispatched, or it runs and its lease has
    /// expired.
    #[must_use]
    pub(crate) fn is_free(&self, now: DateTime<Utc>) -> bool {
        let is = |status: Status| self.status == status.as_str();
        is(Status::Queued)
            || is(Status::Dispatched)
            || (is(Status::Running) && self.lease_expires_at.is_some_and(|expires_at| expires_at <= now))
    }
}
