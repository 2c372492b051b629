//! Abandoned attempts, which a dead process left without an outcome, and the exports that are set apart because of
//! them.
//!
//! When the process of an exporter dies, the process no longer renews the leases of its attempts, and a notifier ends
//! these leases ([`crate::in_flight::end_lease`]). One of the exports may have killed the process, but Sluice can't
//! determine which one. So Sluice sets all of them apart: an exporter runs each later attempt in a separate process. If
//! a separate process dies, the only export in this process is the cause, and no other export loses its attempt.

use protocol::export::Status;

use crate::export::Model;

impl Model {
    /// Returns the number of attempts whose lease ended without a release.
    #[must_use]
    pub fn abandoned(&self) -> u32 {
        self.abandoned_attempts.unsigned_abs()
    }

    /// Returns the number of attempts that ran in a separate process and ended with the death of this process.
    #[must_use]
    pub fn crashed(&self) -> u32 {
        self.crashed_attempts.unsigned_abs()
    }

    /// Whether the export must run in a separate process, because [`Self::abandoned`] or [`Self::crashed`] counts an
    /// earlier attempt.
    #[must_use]
    pub(crate) fn is_set_apart(&self) -> bool {
        self.abandoned() + self.crashed() > 0
    }

    /// Whether a new attempt may begin: the export is queued or dispatched, or it is running and no exporter holds its
    /// lease.
    #[must_use]
    pub(crate) fn is_free(&self) -> bool {
        let is = |status: Status| self.status == status.as_str();
        is(Status::Queued) || is(Status::Dispatched) || (is(Status::Running) && self.worker.is_none())
    }
}
