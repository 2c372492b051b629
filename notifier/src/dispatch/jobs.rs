//! Publishes the jobs of exports to JetStream. A job is the message that tells an exporter to make one export.

use entity::export;
use platform::{bus::Bus, telemetry::traces};
use protocol::{
    envelope::{Envelope, Job},
    subject::{self, Lane},
};
use tracing::{Instrument, field::Empty, info_span};

use crate::{
    error::NotifierError,
    work_queue::{self, Queued},
};

/// Publishes the job of an export, whose number is `row.job_number`. The first job of an export has the number 0. The
/// lease watch increases the number when the export needs another job.
///
/// The message id is the export id for job 0, and `<export id>:<job number>` for later jobs. If the same job is
/// published again within the deduplication window, the stream drops the second message. After the window, the stream
/// may store both messages. This is harmless, because only one exporter at a time can claim an export.
///
/// # Errors
/// When the stream does not confirm the job.
pub(super) async fn publish(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let message_id = if row.job_number == 0 { row.id.to_string() } else { format!("{}:{}", row.id, row.job_number) };
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
    let job = Job { export_id: row.export_id(), owner: row.owner(), number: row.job_number.unsigned_abs() };
    let message = Envelope::new(message_id, context.traceparent(), job);
    let sending = bus.publish_durable(job_subject(row), &message.id, &message);
    let sent = sending.instrument(span.clone()).await;
    if sent.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    Ok(sent?)
}

/// Finds the last published job of an export in the stream of jobs. Returns whether the job still waits there, and
/// whether an exporter has received it.
///
/// # Errors
/// When the stream or its consumer does not answer.
pub(super) async fn find(bus: &Bus, row: &export::Model) -> Result<Queued, NotifierError> {
    let consumer = subject::job_consumer(&row.pool, Lane::from_name(&row.lane));
    work_queue::find(bus, subject::STREAM_JOBS, &consumer, &job_subject(row)).await
}

fn job_subject(row: &export::Model) -> String {
    subject::job(&row.pool, Lane::from_name(&row.lane), row.export_id())
}
