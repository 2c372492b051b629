//! Abandoned attempts, and the exports that Sluice sets apart because of abandoned attempts. An attempt is abandoned if
//! its process died before it reported an outcome.
//!
//! When the process of an exporter dies, the process no longer renews the leases of its attempts, and a notifier ends
//! these leases ([`crate::in_flight::end_lease`]). One of the exports in the process may have killed it, but Sluice
//! can't determine which one. So Sluice sets all these exports apart: an exporter runs each later attempt in a separate
//! process. If a separate process dies, the only export in this process is the cause, and no other export loses its
//! attempt.

use protocol::export::Status;

use crate::export::Model;

impl Model {
    /// Returns the number of abandoned attempts: a notifier ended their lease, because the exporter had stopped
    /// renewing it.
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
