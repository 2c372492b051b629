//! The `export_history` table: a row for each change of an export that its story tells. Triggers of the database write
//! the rows in the transaction of the change, so no change is missing, even one that a person makes with SQL.
//!
//! A row holds the values after the change. [`events`] compares each row with the row before, and names what happened.

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::ExportId,
    ops::{AttemptInfo, HistoryEvent, HistoryKind},
};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*};

use crate::StoreError;

/// A row of `export_history`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "export_history")]
pub struct Model {
    /// The number of the row. The rows of one export are in the order of its changes.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// The id of the export.
    pub export_id: Uuid,
    /// The time of the change, from the process that made it.
    pub at: DateTime<Utc>,
    /// The status of the export after the change.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// The number of the last attempt; 0 before the first one.
    pub attempt: i32,
    /// The number of failed attempts after the change, as in [`crate::export::Model::failures`].
    pub failures: i32,
    /// The number of attempts whose lease ran out, as in [`crate::export::Model::abandoned_attempts`].
    pub abandoned_attempts: i32,
    /// The number of attempts whose process died, as in [`crate::export::Model::crashed_attempts`].
    pub crashed_attempts: i32,
    /// The time for which attempts waited for outages, in milliseconds, as in [`crate::export::Model::waited_ms`].
    pub waited_ms: i64,
    /// The part of the installation that the attempt waits for, as in [`crate::export::Model::waiting_for`].
    #[sea_orm(column_type = "Text", nullable)]
    pub waiting_for: Option<String>,
    /// The exporter that runs the attempt, as in [`crate::export::Model::worker`].
    #[sea_orm(column_type = "Text", nullable)]
    pub worker: Option<String>,
    /// Whether the cancellation was requested.
    pub cancel_requested: bool,
    /// Whether the deletion of the file was requested.
    pub delete_requested: bool,
}

/// sea-orm requires this type. It is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The first rows of one export, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn of_export(db: &impl ConnectionTrait, id: ExportId, limit: u64) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().filter(Column::ExportId.eq(id.0)).order_by_asc(Column::Seq).limit(limit).all(db).await?)
}

/// Names what happened in each row of one export. A row without a nameable change gives no event.
#[must_use]
pub fn events(rows: &[Model]) -> Vec<HistoryEvent> {
    let before = std::iter::once(None).chain(rows.iter().map(Some));
    before.zip(rows).filter_map(|(before, row)| event(before, row)).collect()
}

fn event(before: Option<&Model>, row: &Model) -> Option<HistoryEvent> {
    let event = |kind, exporter: Option<&String>| HistoryEvent {
        at: row.at.into(),
        kind,
        attempt: row.attempt.unsigned_abs(),
        exporter: exporter.cloned(),
        waiting_for: row.waiting_for.clone(),
    };
    let Some(before) = before else { return Some(event(HistoryKind::Queued, None)) };
    // the exporter of an attempt that ended is in the row before, because the change clears it
    let worker = row.worker.as_ref().or(before.worker.as_ref());
    let is = |status: Status| row.status == status.as_str();
    if row.status != before.status && !is(Status::Running) {
        let kind = match row.status.parse().ok()? {
            Status::Queued => HistoryKind::TakenBack,
            Status::Dispatched => HistoryKind::Dispatched,
            Status::Completed => HistoryKind::Completed,
            Status::Unchanged => HistoryKind::Unchanged,
            Status::Failed => HistoryKind::Failed,
            Status::Canceled => HistoryKind::Canceled,
            Status::Expired => HistoryKind::Expired,
            Status::Running => return None,
        };
        return Some(event(kind, worker.filter(|_| row.attempt > 0)));
    }
    let kind = if row.attempt != before.attempt {
        HistoryKind::AttemptStarted
    } else if row.crashed_attempts != before.crashed_attempts {
        HistoryKind::AttemptCrashed
    } else if row.abandoned_attempts != before.abandoned_attempts {
        HistoryKind::AttemptAbandoned
    } else if row.failures != before.failures {
        HistoryKind::AttemptFailed
    } else if row.waited_ms != before.waited_ms {
        HistoryKind::AttemptInterrupted
    } else if row.worker.is_none() && before.worker.is_some() {
        HistoryKind::AttemptReleased
    } else if row.cancel_requested && !before.cancel_requested {
        HistoryKind::CancelRequested
    } else if row.delete_requested && !before.delete_requested {
        HistoryKind::DeleteRequested
    } else if row.waiting_for != before.waiting_for {
        if row.waiting_for.is_some() { HistoryKind::Waiting } else { HistoryKind::Continued }
    } else {
        return None;
    };
    Some(event(kind, worker))
}

/// Collects the attempts from the events of one export. The numbers of segments, rows and bytes are 0.
#[must_use]
pub fn attempts(events: &[HistoryEvent]) -> Vec<AttemptInfo> {
    let mut attempts: Vec<AttemptInfo> = Vec::new();
    for event in events {
        if event.kind == HistoryKind::AttemptStarted {
            attempts.push(AttemptInfo {
                number: event.attempt,
                exporter: event.exporter.clone(),
                started_at: event.at,
                ended_at: None,
                result: None,
                segments: 0,
                rows: 0,
                bytes: 0,
            });
        } else if event.kind.ends_attempt()
            && let Some(attempt) = attempts.last_mut().filter(|attempt| attempt.ended_at.is_none())
        {
            attempt.ended_at = Some(event.at);
            attempt.result = Some(event.kind);
        }
    }
    attempts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(change: impl FnOnce(&mut Model)) -> Model {
        let mut row = Model {
            seq: 1,
            export_id: Uuid::nil(),
            at: "2026-11-22T15:26:01.123Z".parse().unwrap(),
            status: "queued".into(),
            attempt: 0,
            failures: 0,
            abandoned_attempts: 0,
            crashed_attempts: 0,
            waited_ms: 0,
            waiting_for: None,
            worker: None,
            cancel_requested: false,
            delete_requested: false,
        };
        change(&mut row);
        row
    }

    fn running(attempt: i32, change: impl FnOnce(&mut Model)) -> Model {
        row(|row| {
            (row.status, row.attempt, row.worker) = ("running".into(), attempt, Some("exporter-a".into()));
            change(row);
        })
    }

    #[test]
    fn each_change_gets_its_name_and_each_attempt_its_end() {
        let rows = [
            row(|_| {}),
            row(|row| row.status = "dispatched".into()),
            row(|_| {}),
            row(|row| row.status = "dispatched".into()),
            running(1, |_| {}),
            running(1, |row| row.waiting_for = Some("storage".into())),
            running(1, |row| (row.worker, row.waited_ms, row.waiting_for) = (None, 9, Some("storage".into()))),
            running(2, |row| row.waited_ms = 9),
            running(2, |row| (row.worker, row.waited_ms, row.failures) = (None, 9, 1)),
            running(3, |row| (row.waited_ms, row.failures) = (9, 1)),
            running(3, |row| (row.status, row.waited_ms, row.failures) = ("failed".into(), 9, 1)),
        ];
        use HistoryKind::{
            AttemptFailed, AttemptInterrupted, AttemptStarted, Dispatched, Failed, Queued, TakenBack, Waiting,
        };
        let events = events(&rows);
        assert_eq!(
            events.iter().map(|event| event.kind).collect::<Vec<_>>(),
            [
                Queued,
                Dispatched,
                TakenBack,
                Dispatched,
                AttemptStarted,
                Waiting,
                AttemptInterrupted,
                AttemptStarted,
                AttemptFailed,
                AttemptStarted,
                Failed
            ]
        );
        assert_eq!(events[8].exporter.as_deref(), Some("exporter-a"), "the exporter whose attempt failed");
        let attempts = attempts(&events);
        let results: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.result)).collect();
        assert_eq!(results, [(1, Some(AttemptInterrupted)), (2, Some(AttemptFailed)), (3, Some(Failed))]);
    }
}
