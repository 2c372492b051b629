//! Converts the row of an export to the summary that operators receive.

use entity::{StoreError, export};
use protocol::{
    envelope::TraceContext,
    ops::ExportSummary,
    problem::{Problem, Slug},
};

/// Returns the summary of an export for operators.
///
/// # Errors
/// [`StoreError::Damaged`] when the row has an unknown status.
pub(super) fn summarize(row: &export::Model) -> Result<ExportSummary, StoreError> {
    let problem = row.problem.clone().map(|problem| {
        serde_json::from_value::<Problem>(problem).map_or(Slug::Internal, |problem| problem.slug()).to_string()
    });
    Ok(ExportSummary {
        id: row.export_id(),
        tenant: row.tenant.clone(),
        user: row.user_id.clone(),
        dataset: row.dataset.clone(),
        format: row.format.clone(),
        status: row.status()?,
        attempt: row.attempt.unsigned_abs(),
        failures: row.failures.unsigned_abs(),
        pool: row.pool.clone(),
        lane: row.lane.clone(),
        credits: u32::try_from(row.credits).unwrap_or_default(),
        requested_at: row.requested_at.into(),
        started_at: row.started_at.map(Into::into),
        completed_at: row.completed_at.map(Into::into),
        updated_at: row.updated_at.into(),
        cancel_requested_at: row.cancel_requested_at.map(Into::into),
        exporter: row.worker.clone(),
        rows: row.rows.unsigned_abs(),
        bytes: row.bytes.unsigned_abs(),
        problem,
        trace_id: TraceContext::parse(&row.traceparent).map(TraceContext::trace_id_hex),
    })
}
