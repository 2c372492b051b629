//! Converts rows of the export table to the export object of the public API.

use entity::{export, view};
use protocol::export::{Export, Status, WaitingFor};

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
    /// queue position (the number of exports that start earlier), or says that an operator has paused its owner.
    ///
    /// # Errors
    /// `unavailable` when the database fails. `internal` when the row has an invalid value.
    pub(crate) async fn export(&self, row: &export::Model) -> Outcome<Export> {
        let is_waiting = matches!(row.status()?, Status::Queued | Status::Dispatched);
        if !is_waiting {
            return Ok(view::export(row, None)?);
        }
        let position = self.queue.position(row).await?;
        let mut export = view::export(row, position)?;
        if position.is_none() {
            export.progress.waiting_for = Some(WaitingFor::Operator);
        }
        Ok(export)
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
