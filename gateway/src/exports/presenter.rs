//! Converts rows of the export table to the export object of the public API.

use entity::{export, view};
use protocol::export::{Export, Status};

use super::queue_cache::QueueCache;
use crate::error::Outcome;

/// Converts export rows to the export object of the public API.
#[derive(Clone, Debug)]
pub(crate) struct Presenter {
    queue: QueueCache,
}

impl Presenter {
    #[must_use]
    pub(crate) fn new(queue: QueueCache) -> Self {
        Self { queue }
    }

    /// Returns the API's export object for this row of the export table. For a waiting export, the object contains the
    /// queue position (the number of exports that start earlier).
    ///
    /// # Errors
    /// `unavailable` when the database fails. `internal` when the row has an invalid value.
    pub(crate) async fn export(&self, row: &export::Model) -> Outcome<Export> {
        let is_waiting = matches!(row.status()?, Status::Queued | Status::Dispatched);
        let position = if is_waiting { Some(self.queue.position(row).await?) } else { None };
        Ok(view::export(row, position)?)
    }

    /// Returns the API's export object for this row of the export table, without the queue position. The conversion
    /// needs no database query.
    ///
    /// # Errors
    /// `internal` when the row has an invalid value.
    pub(crate) fn export_without_position(row: &export::Model) -> Outcome<Export> {
        Ok(view::export(row, None)?)
    }
}
