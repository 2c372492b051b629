//! Updates the metrics of ended exports. The caller counts each export once, even if its outcome is delivered several
//! times.

use chrono::{DateTime, Utc};
use entity::export;
use protocol::problem::Slug;

/// Counts a completed export and the capture (the final charge) of its credits. `bytes` is the size of its file.
pub(super) fn completed(row: &export::Model, bytes: u64, now: DateTime<Utc>) {
    metrics::counter!("sluice_exports_succeeded_total").increment(1);
    metrics::counter!("sluice_credit_events_total", "kind" => "capture").increment(1);
    metrics::histogram!("sluice_export_bytes", "format" => row.format.clone(), "lane" => row.lane.clone())
        .record(bytes as f64);
    record_duration(row, "completed", now);
}

/// Counts a failed export and the release of its held credits.
pub(super) fn failed(row: &export::Model, slug: Slug, now: DateTime<Utc>) {
    metrics::counter!("sluice_exports_failed_total", "slug" => slug.as_str()).increment(1);
    released(row, "failed", now);
}

/// Counts a canceled export and the release of its held credits.
pub(super) fn canceled(row: &export::Model, now: DateTime<Utc>) {
    released(row, "canceled", now);
}

/// Counts an export that ended as unchanged and the release of its credits.
pub(super) fn unchanged(row: &export::Model, now: DateTime<Utc>) {
    released(row, "unchanged", now);
}

fn released(row: &export::Model, result: &'static str, now: DateTime<Utc>) {
    metrics::counter!("sluice_credit_events_total", "kind" => "release").increment(1);
    record_duration(row, result, now);
}

fn record_duration(row: &export::Model, result: &'static str, now: DateTime<Utc>) {
    let took = (now - row.requested_at).to_std().unwrap_or_default();
    let (format, lane) = (row.format.clone(), row.lane.clone());
    metrics::histogram!("sluice_export_turnaround_seconds", "format" => format, "lane" => lane, "result" => result)
        .record(took.as_secs_f64());
}
