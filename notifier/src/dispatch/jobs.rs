//! Publishes the jobs of exports to JetStream.

use entity::export;
use platform::{bus::Bus, telemetry::traces};
use protocol::{
    envelope::{Envelope, Job},
    subject::{self, Lane},
};
use tracing::{Instrument, field::Empty, info_span};

use crate::{error::NotifierError, work_queue};

/// Publishes the job of an export. The stream deduplicates jobs by `message_id`.
///
/// # Errors
/// When the stream does not confirm the job.
pub(super) async fn publish(bus: &Bus, row: &export::Model, message_id: String) -> Result<(), NotifierError> {
    let span = info_span!(
        parent: None,
        "dispatch",
        otel.kind = "producer",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = %row.id,
        export.lane = row.lane,
        export.tenant = row.tenant,
        messaging.system = "nats",
        messaging.operation.type = "send",
        messaging.destination.name = subject::STREAM_JOBS,
        messaging.message.id = message_id,
    );
    let context = traces::follow_text(&span, &row.traceparent);
    let job = Job { export_id: row.export_id(), owner: row.owner() };
    let message = Envelope::new(message_id, context.traceparent(), job);
    let sending = bus.publish_durable(job_subject(row), &message.id, &message);
    let sent = sending.instrument(span.clone()).await;
    if sent.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    Ok(sent?)
}

/// Publishes a new job for a stale export if the stream of jobs holds no job of this export. Returns whether a job was
/// published.
///
/// # Errors
/// When the stream does not answer.
pub(crate) async fn republish_if_lost(bus: &Bus, row: &export::Model) -> Result<bool, NotifierError> {
    if work_queue::has_message(bus, subject::STREAM_JOBS, &job_subject(row)).await? {
        return Ok(false);
    }
    // a new id, because the stream would drop a job with the id of the first job
    let id = format!("{}:{}:{}", row.id, row.attempt, row.updated_at.timestamp_micros());
    publish(bus, row, id).await?;
    Ok(true)
}

fn job_subject(row: &export::Model) -> String {
    subject::job(&row.pool, Lane::from_name(&row.lane), row.export_id())
}
