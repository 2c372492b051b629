//! Renders rows of the export table for their owner.

use entity::{export, view};
use protocol::export::{Export, Status};

use super::queue_cache::QueueCache;
use crate::error::Outcome;

/// Renders export rows as the export object of the public contract.
#[derive(Clone, Debug)]
pub(crate) struct Presenter {
    queue: QueueCache,
}

impl Presenter {
    #[must_use]
    pub(crate) fn new(queue: QueueCache) -> Self {
        Self { queue }
    }

    /// Renders a row; a waiting export gets its queue position.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn export(&self, row: &export::Model) -> Outcome<Export> {
        let is_waiting = matches!(row.status()?, Status::Queued | Status::Dispatched);
        let position = if is_waiting { Some(self.queue.position(row).await?) } else { None };
        Ok(view::export(row, position)?)
    }

    /// Renders a row without its queue position; needs no database.
    ///
    /// # Errors
    /// `internal` when the row is damaged.
    pub(crate) fn export_without_position(row: &export::Model) -> Outcome<Export> {
        Ok(view::export(row, None)?)
    }
}
