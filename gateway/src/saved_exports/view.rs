//! Converts rows of saved exports to the objects of the API.

use entity::{saved_export::Model, saved_export_run::Run, schedule};
use protocol::{
    problem::Slug,
    saved_export::{LastRun, SavedExport, SavedExportLinks, Schedule},
};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Outcome, Refusal};

/// Returns the API's object for a row, its schedule and the caller's newest run of it.
///
/// # Errors
/// `internal` when a row has an invalid value.
pub(super) fn saved_export(
    row: &Model,
    schedule: Option<&schedule::Model>,
    newest: Option<&Run>,
) -> Outcome<SavedExport> {
    Ok(SavedExport {
        id: row.saved_export_id(),
        name: row.name.clone(),
        request: row.export_request()?,
        visibility: row.visibility()?,
        schedule: schedule.map(view),
        deliver_to: Vec::new(),
        notify: None,
        owner: row.user_id.clone(),
        version: row.version.unsigned_abs(),
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
        last_run: newest.map(last_run).transpose()?,
        links: SavedExportLinks::for_saved_export(row.saved_export_id()),
    })
}

fn view(row: &schedule::Model) -> Schedule {
    Schedule {
        cron: row.cron.clone(),
        zone: row.zone.clone(),
        enabled: row.enabled,
        only_if_changed: row.only_if_changed,
        next_run_at: row.next_run_at.map(Into::into),
        paused_reason: row.paused_reason.clone(),
    }
}

fn last_run(run: &Run) -> Outcome<LastRun> {
    Ok(LastRun {
        export_id: run.export.export_id(),
        status: run.export.status()?,
        requested_at: run.export.requested_at.into(),
        scheduled_for: run.run.scheduled_for.map(Into::into),
    })
}

/// Converts a value to JSON.
///
/// # Errors
/// `internal` when the value can't be written as JSON.
pub(super) fn json(value: &impl Serialize) -> Outcome<Value> {
    serde_json::to_value(value).map_err(|e| Refusal::new(Slug::Internal, format!("A value is not JSON: {e}.")))
}
