//! Counts exports that have just ended: each once, whoever settles it and however often its outcome comes.

use chrono::{DateTime, Utc};
use entity::export;
use protocol::problem::Slug;

/// It has a file of this many bytes, and its hold is its price.
pub(super) fn completed(row: &export::Model, bytes: u64, now: DateTime<Utc>) {
    metrics::counter!("sluice_exports_completed_total").increment(1);
    metrics::counter!("sluice_credit_events_total", "kind" => "capture").increment(1);
    metrics::histogram!("sluice_export_bytes", "format" => row.format.clone(), "lane" => row.lane.clone())
        .record(bytes as f64);
    took(row, "completed", now);
}

/// It failed with this problem, and its hold went back.
pub(super) fn failed(row: &export::Model, slug: Slug, now: DateTime<Utc>) {
    metrics::counter!("sluice_exports_failed_total", "slug" => slug.as_str()).increment(1);
    released(row, "failed", now);
}

/// It was canceled, and its hold went back.
pub(super) fn canceled(row: &export::Model, now: DateTime<Utc>) {
    released(row, "canceled", now);
}

fn released(row: &export::Model, result: &'static str, now: DateTime<Utc>) {
    metrics::counter!("sluice_credit_events_total", "kind" => "release").increment(1);
    took(row, result, now);
}

fn took(row: &export::Model, result: &'static str, now: DateTime<Utc>) {
    let took = (now - row.requested_at).to_std().unwrap_or_default();
    let (format, lane) = (row.format.clone(), row.lane.clone());
    metrics::histogram!("sluice_export_seconds", "format" => format, "lane" => lane, "result" => result)
        .record(took.as_secs_f64());
}
