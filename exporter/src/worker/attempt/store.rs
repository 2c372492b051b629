//! Stores the segments of an attempt, as objects in the file store and as rows in the database.

use async_trait::async_trait;
use bytes::Bytes;
use entity::{segment, transition};
use protocol::{
    delivery::{self, Segment, SegmentWritten},
    export::WaitingFor,
    subject,
};
use sea_orm::TransactionTrait;
use tracing::{Instrument, info_span, warn};

use super::Attempt;
use crate::{error::JobError, segment::SegmentSink};

#[async_trait]
impl SegmentSink for Attempt<'_> {
    /// Uploads the segment as an object whose bytes are the concatenation of `chunks`. Then inserts the segment's row
    /// and renews the lease in one database transaction, and announces the segment over core NATS.
    async fn store(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let context = self.context;
        let path = delivery::segment_path(self.id, self.number, segment.index);
        let span = info_span!("segment.put", segment.index = segment.index, segment.bytes = segment.size);
        self.upload(path, chunks.into_iter().collect()).instrument(span).await?;

        self.outlast(WaitingFor::Database, || self.record(segment)).await?;

        metrics::counter!("sluice_exporter_bytes_total").increment(segment.size);
        metrics::counter!("sluice_exporter_rows_total").increment(segment.rows);
        let written = SegmentWritten { export_id: self.id, attempt: self.number, segment: segment.clone() };
        let subject = subject::delivery_written(self.id);
        if let Err(e) = context.bus.publish_lossy(subject, &self.traceparent, &written).await {
            // a lost announcement only delays readers, because gateways also poll for segments
            warn!(export.id = %self.id, error = %e, "failed to announce a segment");
        }
        Ok(())
    }
}

impl Attempt<'_> {
    /// Inserts the row of a stored segment and renews the lease, in one transaction.
    async fn record(&self, segment: &Segment) -> Result<(), JobError> {
        let context = self.context;
        let now = context.clock.now();
        let lease = context.config.lease_duration.get();
        let progress = self.meter.progress();
        let transaction = context.db.begin().await.map_err(entity::StoreError::from)?;
        if !transition::heartbeat(&transaction, self.id, self.number, &progress, now, lease).await? {
            return Err(JobError::Fenced);
        }
        segment::insert(&transaction, self.id, self.number, segment).await?;
        transaction.commit().await.map_err(entity::StoreError::from)?;
        Ok(())
    }
}
