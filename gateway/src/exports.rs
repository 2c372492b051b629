//! Reading, awaiting, canceling and deleting one's exports.

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

use crate::{
    error::{Outcome, Refusal},
    events::Events,
    submit::Submit,
};

/// While waiting, look at the row this often, as an event may be late.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One's exports.
#[derive(Clone, Debug)]
pub struct Exports {
    /// Where rows are.
    pub db: DatabaseConnection,
    /// Where cancels and deletions go.
    pub bus: Bus,
    /// Wakes those who wait.
    pub events: Events,
    /// Shows rows.
    pub submit: Submit,
    /// For the time of a cancel.
    pub clock: SharedClock,
}

impl Exports {
    /// The row, if it is the owner's.
    ///
    /// # Errors
    /// `not-found` for what isn't theirs.
    pub async fn row(&self, owner: &Owner, id: ExportId) -> Outcome<export::Model> {
        let row = export::find_owned(&self.db, owner, id).await?;
        row.ok_or_else(|| Refusal::new(Slug::NotFound, "You have no such export."))
    }

    /// The file of an export that has one to give.
    ///
    /// # Errors
    /// Why there is none, or none yet.
    pub fn file(&self, row: &export::Model) -> Outcome<FileInfo> {
        let over = row.delete_requested_at.is_some() || row.expires_at.is_some_and(|at| at <= self.clock.now());
        match row.status()? {
            Status::Queued | Status::Dispatched | Status::Running => {
                Err(Refusal::new(Slug::NotReady, "The export has not finished.").with_header(header::RETRY_AFTER, 1))
            }
            Status::Completed if !over => {
                view::file(row).ok_or_else(|| Refusal::new(Slug::Internal, "A completed export has no file."))
            }
            Status::Completed | Status::Expired => {
                Err(Refusal::new(Slug::Expired, "The file was kept for its time and is gone."))
            }
            Status::Canceled => Err(Refusal::new(Slug::Canceled, "The export was canceled, so there is no file.")),
            Status::Failed => {
                let stored = row.problem.clone().and_then(|p| serde_json::from_value::<Problem>(p).ok());
                Err(stored.unwrap_or_else(|| Problem::new(Slug::ExportFailed, "The export failed.")).into())
            }
        }
    }

    /// The export, if it is the owner's.
    ///
    /// # Errors
    /// `not-found` for what isn't theirs.
    pub async fn get(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        self.submit.show(&row).await
    }

    /// The export once it has ended, or as it is when the time is over.
    ///
    /// # Errors
    /// `not-found` for what isn't theirs.
    pub async fn wait(&self, owner: &Owner, id: ExportId, at_most: Duration) -> Outcome<Export> {
        let until = Instant::now() + at_most;
        let mut ended = self.events.ended();
        loop {
            let export = self.get(owner, id).await?;
            if !export.status.is_unfinished() || Instant::now() >= until {
                return Ok(export);
            }
            let next_look = (Instant::now() + LOOK_AGAIN).min(until);
            // a lagging receiver only means that it is time to look
            while let Ok(Ok(other)) = tokio::time::timeout_at(next_look, ended.recv()).await {
                if other == id {
                    break;
                }
            }
        }
    }

    /// A page of the owner's exports.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, owner: &Owner, mut query: ListQuery) -> Outcome<ExportPage> {
        let limit = query.limit;
        query.limit += 1;
        let mut rows = export::list_owned(&self.db, owner, &query).await?;
        let more = u64::try_from(rows.len()).unwrap_or(u64::MAX) > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| more).map(|row| row.id.to_string());
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            items.push(self.submit.show(row).await?);
        }
        Ok(ExportPage { items, next_cursor })
    }

    /// Cancels an unfinished export; leaves an ended one as it is.
    ///
    /// # Errors
    /// `not-found` for what isn't theirs.
    pub async fn cancel(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        if row.status()?.is_unfinished() && transition::request_cancel(&self.db, owner, id, self.clock.now()).await? {
            self.tell(&row, OutcomeResult::CancelRequested, "cancel").await;
        }
        self.get(owner, id).await
    }

    /// Cancels an unfinished export; deletes the file of a completed one; leaves others as they are.
    ///
    /// # Errors
    /// `not-found` for what isn't theirs.
    pub async fn delete(&self, owner: &Owner, id: ExportId) -> Outcome<Export> {
        let row = self.row(owner, id).await?;
        if row.status()? == Status::Completed {
            if transition::request_delete(&self.db, owner, id, self.clock.now()).await? {
                self.tell(&row, OutcomeResult::DeleteRequested, "delete").await;
            }
            return self.get(owner, id).await;
        }
        self.cancel(owner, id).await
    }

    /// The wish stands in the row, so the notifier finds it by itself if this message is lost.
    async fn tell(&self, row: &export::Model, result: OutcomeResult, what: &str) {
        let id = row.export_id();
        let message_id = format!("{id}:{what}");
        let outcome = Envelope::new(&message_id, &row.traceparent, OutcomeMessage { export_id: id, result });
        if let Err(e) = self.bus.publish_durable(subject::wish(id), &message_id, &outcome).await {
            warn!(export.id = %id, error = %e, "the notifier was not told; it will find out by itself");
        }
    }
}
