//! The problems (RFC 9457) that a notifier sends when it refuses a request for a file.

use chrono::{DateTime, Utc};
use entity::{export, view};
use protocol::{
    export::Status,
    problem::{Problem, Slug},
};

use crate::error::NotifierError;

/// Returns the problem for an unknown export and for an export of another owner. The problem is the same for both, so
/// that a client can't find out which ids exist.
pub(super) fn not_found() -> Problem {
    Problem::new(Slug::NotFound, "There is no such export, or it is not yours.")
}

/// Returns the problem for an export that will never have a file to deliver: it failed, was canceled, or its file was
/// deleted or has expired. Returns `None` if the export has a file or may have one later.
///
/// # Errors
/// When the row of the export holds an invalid value.
pub(super) fn permanent(row: &export::Model, now: DateTime<Utc>) -> Result<Option<Problem>, NotifierError> {
    let id = row.id;
    let recorded = || view::export(row, None).map(|export| export.problem);
    let (slug, detail) = match row.status()? {
        Status::Unchanged => (Slug::NotFound, "The rows are those of the last run, so this run has no file."),
        Status::Failed => (Slug::ExportFailed, "The export failed."),
        Status::Canceled => (Slug::Canceled, "The export was canceled."),
        Status::Expired => (Slug::Expired, "The retention of the file has ended."),
        Status::Completed if row.delete_requested_at.is_some() => (Slug::Expired, "The file was deleted."),
        Status::Completed if row.expires_at.is_some_and(|at| at <= now) => {
            (Slug::Expired, "The retention of the file has ended.")
        }
        Status::Completed | Status::Queued | Status::Dispatched | Status::Running => return Ok(None),
    };
    let general = || Problem { instance: Some(format!("/v1/exports/{id}")), ..Problem::new(slug, detail) };
    Ok(Some(recorded()?.unwrap_or_else(general)))
}
