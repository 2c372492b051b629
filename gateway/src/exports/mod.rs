//! The export use cases: submit, read, wait for, cancel and delete exports of the caller.

mod access;
mod join_key;
mod presenter;
mod queue_cache;
mod submit;
pub(crate) mod validate;

use std::time::Duration;

use axum::http::header;
use entity::{
    export::{self, ListQuery},
    transition, view,
};
use platform::{bus::Bus, clock::SharedClock};
use protocol::{
    envelope::{Envelope, Outcome as OutcomeMessage, OutcomeResult},
    export::{Export, ExportPage, FileInfo, Status},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
    subject,
};
use sea_orm::DatabaseConnection;
use tokio::time::Instant;
use tracing::warn;

pub(crate) use self::{
    access::require_readable,
    presenter::Presenter,
    queue_cache::QueueCache,
    submit::{IDEMPOTENCY_KEY_POINTER, Submission, Submit},
};
use crate::{
    error::{Outcome, Refusal},
    events::Events,
};

/// While [`Exports::wait`] waits for the end of an export, it reads the export's row at this interval. It also reads
/// the row when the user event about the end arrives, but this event may arrive late.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reads, cancels and deletes exports, and waits for their end. Each method with an export id also takes the owner of
/// the export, and answers `not-found` if the export belongs to another owner.
#[derive(Clone, Debug)]
pub(crate) struct Exports {
    pub(crate) db: DatabaseConnection,
    pub(crate) bus: Bus,
    pub(crate) events: Events,
    pub(crate) presenter: Presenter,
    pub(crate) clock: SharedClock,
}

impl Exports {
    /// Reads the database row of the owner's export with this id.
    ///
    /// # Errors
    /// `not-found` for an unknown export and for an export of another owner. `unavailable` when the database fails.
    pub(crate) async fn row(&self, owner: &Owner, id: ExportId) -> Outcome<export::Model> {
        let row = export::find_owned(&self.db, owner, id).await?;
        row.ok_or_else(|| Refusal::new(Slug::NotFound, "You have no such export."))
    }

    /// Returns the name, size, rows, digest and media type of a completed export's file.
    ///
    /// # Errors
    /// `not-ready` for an unfinished export, and `canceled` for a canceled export. `expired` if the file was deleted,
    /// its deletion was requested, or its retention has ended. For a failed export, the stored problem.
    pub(crate) fn file(&self, row: &export::Model) -> Outcome<FileInfo> {
        let expired = row.delete_requested_at.is_some() || row.expires_at.is_some_and(|at| at <= self.clock.now());
        match row.status()? {
            Status::Queued | Status::Dispatched | Status::Running => {
                Err(Refusal::new(Slug::NotReady, "The export has not finished.").with_header(header::RETRY_AFTER, 1))
            }
            Status::Completed if !expired => {
                view::file(row).ok_or_else(|| Refusal::new(Slug::Internal, "A completed export has no file."))
            }
            Status::Completed | Status::Expired => {
                Err(Refusal::new(Slug::Expired, "The file's retention has ended, and the file was deleted."))
            }
            Status::Unchanged => Err(Refusal::new(
                Slug::NotFound,
                "The rows are those of the last run of the schedule, so this run has no file.",
            )),
            Status::Canceled => Err(Refusal::new(Slug::Canceled, "The export was canceled, so it has no file.")),
            Status::Failed => {
                let stored = row.problem.clone().and_then(|p| serde_json::from_value::<Problem>(p).ok());
                Err(stored.unwrap_or_else(|| Problem::new(Slug::ExportFailed, "The export failed.")).into())
            }
        }
    }

    /// Reads one export of the owner.
    ///
    /// # Errors
    /// `not-found` for an unknown export and for an export of another owner.
    pub(crate) async fn get(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        self.presenter.export(&row).await
    }

    /// Waits until the export has ended or `timeout` has passed. Returns the export's state at that time.
    ///
    /// # Errors
    /// `not-found` for an unknown export and for an export of another owner. `unavailable` when the database fails.
    pub(crate) async fn wait(&self, owner: &Owner, id: ExportId, timeout: Duration) -> Outcome<Export> {
        let deadline = Instant::now() + timeout;
        let mut ended = self.events.ended_exports();
        loop {
            let export = self.get(owner, id).await?;
            if !export.status.is_unfinished() || Instant::now() >= deadline {
                return Ok(export);
            }
            let next_poll = (Instant::now() + POLL_INTERVAL).min(deadline);
            // a receiver that falls behind returns an error; the loop then reads the row again
            while let Ok(Ok(other)) = tokio::time::timeout_at(next_poll, ended.recv()).await {
                if other == id {
                    break;
                }
            }
        }
    }

    /// Returns one page of the owner's exports that match `query`, newest first. The page has at most `query.limit`
    /// exports.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn list(&self, owner: &Owner, mut query: ListQuery) -> Outcome<ExportPage> {
        let limit = query.limit;
        // one extra row shows whether there is a next page
        query.limit += 1;
        let mut rows = export::list_owned(&self.db, owner, &query).await?;
        let has_more = u64::try_from(rows.len()).unwrap_or(u64::MAX) > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| has_more).map(|row| row.id.to_string());
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            items.push(self.presenter.export(row).await?);
        }
        Ok(ExportPage { items, next_cursor })
    }

    /// Requests the cancellation of an unfinished export. An ended export does not change. Returns the export's current
    /// state.
    ///
    /// # Errors
    /// `not-found` for an unknown export and for an export of another owner. `unavailable` when the database fails.
    pub(crate) async fn cancel(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        if row.status()?.is_unfinished() && transition::request_cancel(&self.db, owner, id, self.clock.now()).await? {
            self.publish_command(&row, OutcomeResult::CancelRequested, "cancel").await;
        }
        self.get(owner, id).await
    }

    /// Requests the cancellation of an unfinished export, or the deletion of a completed export's file. Any other
    /// export does not change. Returns the export's current state.
    ///
    /// # Errors
    /// `not-found` for an unknown export and for an export of another owner. `unavailable` when the database fails.
    pub(crate) async fn delete(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        if row.status()? == Status::Completed {
            if transition::request_delete(&self.db, owner, id, self.clock.now()).await? {
                self.publish_command(&row, OutcomeResult::DeleteRequested, "delete").await;
            }
            return self.get(owner, id).await;
        }
        self.cancel(owner, id).await
    }

    /// Publishes a command to the notifier: to cancel this export, or to delete its file. `result` is the command, and
    /// `command` is its name in the message id: `cancel` or `delete`. The caller must first record the user's request
    /// in the export's row. If the message is lost, the reconciler (a scheduled job of the notifier) finds the row and
    /// publishes the command again.
    async fn publish_command(&self, row: &export::Model, result: OutcomeResult, command: &str) {
        let id = row.export_id();
        let message_id = format!("{id}:{command}");
        let outcome = Envelope::new(&message_id, &row.traceparent, OutcomeMessage { export_id: id, result });
        if let Err(e) = self.bus.publish_durable(subject::outcome_command(id), &message_id, &outcome).await {
            warn!(export.id = %id, error = %e, "failed to publish a command; the reconciler will apply it");
        }
    }
}
