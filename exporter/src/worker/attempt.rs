//! One attempt at an export: from its plan to the sealed file in the store.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use entity::{export::Model, segment, transition};
use object_store::PutPayload;
use platform::telemetry::traces;
use protocol::{
    ENVELOPE_VERSION,
    delivery::{self, MadeBy, Manifest, Segment, SegmentWritten},
    export::FileInfo,
    id::ExportId,
    subject,
    time::Timestamp,
};
use sea_orm::TransactionTrait;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, field::Empty, info_span, warn};

use super::{Worker, plan::Plan};
use crate::{
    dataset::Snapshot,
    error::JobError,
    format::Finished,
    pipeline::{Budget, Pipeline},
    progress::Meter,
    segment::Outlet,
};

/// The fenced right to make one file.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) id: ExportId,
    pub(super) number: u32,
    /// How many attempts before this one failed.
    pub(super) failures: u32,
    /// The span of this attempt, within the trace of the request.
    pub(super) traceparent: String,
    pub(super) meter: Arc<Meter>,
    /// Objects on their way into the store. They get there even when the attempt is stopped meanwhile.
    puts: TaskTracker,
    /// Whether the notifier may have heard that the file is whole: then the file is no longer ours to delete.
    sealed: AtomicBool,
    /// When progress was told last.
    told: Mutex<Option<Instant>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn of(worker: &'a Worker, row: &Model) -> Self {
        Self {
            worker,
            id: row.export_id(),
            number: row.attempt.unsigned_abs(),
            failures: row.failures.unsigned_abs(),
            traceparent: traces::current_or(&row.traceparent),
            meter: Arc::new(Meter::start()),
            puts: TaskTracker::new(),
            sealed: AtomicBool::new(false),
            told: Mutex::new(None),
        }
    }

    /// Makes the file: segments, then the metadata document, and the manifest last.
    pub(super) async fn make(&self, row: &Model, plan: &Plan) -> Result<(FileInfo, Timestamp), JobError> {
        let requested_at = Timestamp::from(row.requested_at);
        let budget = Budget::from(&self.worker.config);
        let encoding = plan.format.encoding(&plan.layout, &budget.bounds)?;
        let counting = self.expect(plan);
        let opened_at = self.worker.clock.now();
        let begun = plan.dataset.begin(&plan.query).instrument(info_span!("dataset.open")).await?;
        // the source's own clock knows it best: before it there may have been a long wait for a connection
        let snapshot_at = Timestamp::from(begun.moment.unwrap_or(opened_at));
        let pipeline = Pipeline {
            frames: begun.frames,
            layout: Arc::new(plan.layout.clone()),
            encoding,
            compression: plan.compression,
            requested_at,
            meter: Arc::clone(&self.meter),
            budget,
            outlet: self,
            clock: Arc::clone(&self.worker.clock),
        };
        let encode = info_span!("encode", file.rows = Empty, file.bytes = Empty);
        let made = {
            let mut running = std::pin::pin!(pipeline.run().instrument(encode.clone()));
            tokio::select! {
                made = &mut running => made?,
                () = counting => running.await?,
            }
        };
        encode.record("file.rows", made.seal.rows).record("file.bytes", made.seal.size);
        drop(encode);

        let file = FileInfo {
            name: self.file_name(row, plan),
            size: made.seal.size,
            rows: made.seal.rows,
            sha256: made.seal.sha256.clone(),
            media_type: plan.compression.media_type().unwrap_or(plan.format.media_type()).to_owned(),
        };
        let finished = Finished {
            id: self.id,
            dataset: row.dataset.clone(),
            dataset_version: plan.dataset.version().to_owned(),
            file: file.clone(),
            compression: plan.compression,
            requested_at,
            snapshot_at: (plan.dataset.snapshot() == Snapshot::Export).then_some(snapshot_at),
            completed_at: made.completed_at,
        };
        let metadata = serde_json::to_vec(&plan.format.metadata(&plan.layout, &finished))?;
        let manifest = Manifest {
            v: ENVELOPE_VERSION,
            export_id: self.id,
            attempt: self.number,
            made_by: Some(MadeBy {
                dataset: row.dataset.clone(),
                dataset_version: plan.dataset.version().to_owned(),
                template: plan.layout.made_by.template.clone(),
                template_version: plan.layout.made_by.version.clone(),
            }),
            segments: made.segments,
            seal: made.seal,
        };
        let manifest = serde_json::to_vec(&manifest)?;
        self.put(delivery::metadata_path(self.id, self.number), metadata.into()).await?;
        self.put(delivery::manifest_path(self.id, self.number), manifest.into()).await?;
        Ok((file, made.completed_at))
    }

    /// What to save the file as.
    fn file_name(&self, row: &Model, plan: &Plan) -> String {
        let extension = format!("{}{}", plan.format.extension(), plan.compression.suffix());
        plan.layout.file_name.render(&row.dataset, &row.template, row.requested_at.into(), &extension)
    }

    /// Writes an object in a task of its own, so that nothing appears after [`Attempt::discard`].
    async fn put(&self, path: String, payload: PutPayload) -> Result<(), JobError> {
        let store = self.worker.store.clone();
        let put = async move { store.put(&path, payload).await };
        Ok(self.puts.spawn(put.in_current_span()).await??)
    }

    /// Counts the rows that will come, beside the export, or guesses where that would be much work; without either only
    /// the time left is unknown.
    async fn expect(&self, plan: &Plan) {
        let expected = match plan.dataset.count(&plan.query).await {
            Ok(None) => plan.dataset.guess(&plan.query).await.map(|guess| guess.map(|guess| guess.rows)),
            counted => counted,
        };
        match expected {
            Ok(Some(rows)) => self.meter.expect(rows),
            Ok(None) => {}
            Err(e) => warn!(export.id = %self.id, error = %e, "the rows can't be counted beforehand"),
        }
    }

    /// A sign of life in the database. False: the attempt no longer holds.
    pub(super) async fn heartbeat(&self) -> Result<bool, JobError> {
        let now = self.worker.clock.now();
        let lease_until = now + self.worker.config.lease();
        let progress = self.meter.progress();
        Ok(transition::heartbeat(&self.worker.db, self.id, self.number, &progress, now, lease_until).await?)
    }

    /// Whether `period` has passed since this was last true.
    pub(super) fn may_tell(&self, period: Duration) -> bool {
        // an instant is whole also when somebody panicked
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() >= period);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    /// To be called before the outcome is told for the first time. From then on the export may be completed at any
    /// moment without our knowing, as the confirmation may be late or lost: whether the file stays is the notifier's
    /// decision.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Deletes what this attempt has written, unless it is sealed. The files of other attempts are never touched: a
    /// later one may be at work, and what earlier ones left is deleted by the notifier when the export ends.
    pub(super) async fn discard(&self) {
        if self.sealed.load(Ordering::Acquire) {
            return;
        }
        self.puts.close();
        self.puts.wait().await;
        let prefix = delivery::attempt_prefix(self.id, self.number);
        if let Err(e) = self.worker.store.delete_where(&prefix, |_| true).await {
            // it is deleted with the export
            warn!(files.prefix = prefix, error = %e, "files of an attempt that ended can't be deleted");
        }
    }
}

#[async_trait]
impl Outlet for Attempt<'_> {
    /// First the object, then the row that makes it visible, under the fence; then the hint to the notifier.
    async fn keep(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let worker = self.worker;
        let path = delivery::segment_path(self.id, self.number, segment.index);
        let span = info_span!("segment.put", segment.index = segment.index, segment.bytes = segment.size);
        self.put(path, chunks.into_iter().collect()).instrument(span).await?;

        let now = worker.clock.now();
        let lease_until = now + worker.config.lease();
        let progress = self.meter.progress();
        let transaction = worker.db.begin().await.map_err(entity::StoreError::from)?;
        if !transition::heartbeat(&transaction, self.id, self.number, &progress, now, lease_until).await? {
            return Err(JobError::Fenced);
        }
        segment::insert(&transaction, self.id, self.number, segment).await?;
        transaction.commit().await.map_err(entity::StoreError::from)?;

        metrics::counter!("sluice_exporter_bytes_total").increment(segment.size);
        metrics::counter!("sluice_exporter_rows_total").increment(segment.rows);
        let written = SegmentWritten { export_id: self.id, attempt: self.number, segment: segment.clone() };
        if let Err(e) = worker.bus.publish_lossy(subject::delivery_written(self.id), &self.traceparent, &written).await
        {
            // gateways ask by themselves too
            warn!(export.id = %self.id, error = %e, "a segment can't be announced");
        }
        Ok(())
    }
}
