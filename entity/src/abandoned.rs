//! Attempts that a dead process left without an outcome, and the exports that are set apart because of them.
//!
//! When an exporter's process dies, nobody renews the leases of its attempts, and a notifier ends them
//! ([`crate::in_flight::end_lease`]). One of the exports may have ended the process, but Sluice can't tell which one. So
//! Sluice sets all of them apart: from then on, an exporter runs each in a process of its own. If such a process dies,
//! its only export is the cause, and no other export is lost.

use protocol::export::Status;

use crate::export::Model;

impl Model {
    /// Returns the number of attempts whose lease ended without a release.
    #[must_use]
    pub fn abandoned(&self) -> u32 {
        self.abandoned_attempts.unsigned_abs()
    }

    /// Returns the number of attempts that ran in a process of their own and ended with the death of the process.
    #[must_use]
    pub fn crashed(&self) -> u32 {
        self.crashed_attempts.unsigned_abs()
    }

    /// Whether the export must run in a process of its own: [`Self::abandoned`] or [`Self::crashed`] counts an earlier
    /// attempt.
    #[must_use]
    pub(crate) fn is_set_apart(&self) -> bool {
        self.abandoned() + self.crashed() > 0
    }

    /// Whether a new attempt may begin: the export is queued or dispatched, or it runs and nobody holds its lease.
    #[must_use]
    pub(crate) fn is_free(&self) -> bool {
        let is = |status: Status| self.status == status.as_str();
        is(Status::Queued) || is(Status::Dispatched) || (is(Status::Running) && self.worker.is_none())
    }
}
