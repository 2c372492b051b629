//! Converts a row of `export` into the export object of the API.

use protocol::{
    export::{Export, FileInfo, Links, Progress, Status, WaitingFor},
    problem::Problem,
};
use serde_json::Value;

use crate::{StoreError, dispatch_queue::QueuePosition, export::Model};

/// Converts a row into the export object of the API. `queue` is the queue position of a waiting export, if known.
///
/// # Errors
/// [`StoreError::Damaged`] for a row with invalid JSON or an unknown status.
pub fn export(row: &Model, queue: Option<QueuePosition>) -> Result<Export, StoreError> {
    let status = row.status()?;
    let queue = queue.filter(|_| matches!(status, Status::Queued | Status::Dispatched));
    Ok(Export {
        id: row.export_id(),
        dataset: row.dataset.clone(),
        template: row.template.clone(),
        format: row.format.clone(),
        compression: row.compression.clone(),
        filter: row.filter.clone(),
        columns: columns(row)?,
        params: row.params.as_object().cloned().unwrap_or_default(),
        status,
        attempt: row.attempt.unsigned_abs(),
        requested_at: row.requested_at.into(),
        started_at: row.started_at.map(Into::into),
        completed_at: row.completed_at.map(Into::into),
        expires_at: row.expires_at.map(Into::into),
        progress: Progress {
            rows: row.rows.unsigned_abs(),
            rows_total: row.rows_total.map(i64::unsigned_abs),
            bytes: row.bytes.unsigned_abs(),
            queue_position: queue.map(|queue| queue.position),
            eta_ms: queue.map_or_else(|| eta_ms(row, status), |queue| queue.eta_ms),
            waiting_for: waiting_for(row, status),
        },
        file: file(row).filter(|_| status == Status::Completed),
        problem: problem(row)?,
        links: Links::for_export(row.export_id()),
    })
}

/// Returns the columns that the request chose; empty for the columns of the template.
///
/// # Errors
/// [`StoreError::Damaged`] when the column `columns` of the row holds invalid JSON.
pub fn columns(row: &Model) -> Result<Vec<String>, StoreError> {
    read(row, "columns", &row.columns)
}

/// Returns the name, size, rows, digest and media type of a completed or expired export's file; None for other exports.
#[must_use]
pub fn file(row: &Model) -> Option<FileInfo> {
    Some(FileInfo {
        name: row.file_name.clone()?,
        size: row.file_size?.unsigned_abs(),
        rows: row.file_rows?.unsigned_abs(),
        sha256: row.file_sha256.clone()?,
        media_type: row.file_media_type.clone()?,
    })
}

fn problem(row: &Model) -> Result<Option<Problem>, StoreError> {
    row.problem.as_ref().map(|value| read(row, "problem", value)).transpose()
}

/// Returns the estimated time to completion of a running export, in milliseconds, at its mean speed so far. None for
/// other exports, before the first row, without a known total, and while the export waits for a part of the
/// installation.
fn eta_ms(row: &Model, status: Status) -> Option<u64> {
    if status != Status::Running || row.rows <= 0 || row.waiting_for.is_some() {
        return None;
    }
    let elapsed = (row.updated_at - row.started_at?).num_milliseconds().max(0);
    let remaining = (row.rows_total? - row.rows).max(0);
    u64::try_from(i128::from(elapsed) * i128::from(remaining) / i128::from(row.rows)).ok()
}

/// Returns the part of the installation that a running export waits for; None for other exports.
fn waiting_for(row: &Model, status: Status) -> Option<WaitingFor> {
    row.waiting_for.as_deref().and_then(WaitingFor::from_name).filter(|_| status == Status::Running)
}

fn read<T: serde::de::DeserializeOwned>(row: &Model, column: &str, value: &Value) -> Result<T, StoreError> {
    serde_json::from_value(value.clone())
        .map_err(|e| StoreError::Damaged { row: format!("export {}", row.id), detail: format!("{column}: {e}") })
}
