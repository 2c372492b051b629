//! Produces the file of an attempt: first the segments, then the metadata document, and last the manifest.

use std::sync::Arc;

use entity::export::Model;
use object_store::PutPayload;
use protocol::{
    ENVELOPE_VERSION,
    delivery::{self, Manifest, Provenance},
    export::{FileInfo, WaitingFor},
    time::Timestamp,
};
use tracing::{Instrument, field::Empty, info_span, warn};

use super::Attempt;
use crate::{
    dataset::{DatasetError, Precision, Snapshot},
    error::JobError,
    format::{Compression, Encoding, FinishedFile, Format, Tsv},
    pipeline::{ContentDigest, Pipeline, PipelineLimits, SealedFile},
    plan::Plan,
};

/// The file that an attempt produced.
pub(super) struct Produced {
    /// The name, size and digest of the file.
    pub(super) file: FileInfo,
    /// The completion time, as the file or its metadata document states it.
    pub(super) completed_at: Timestamp,
    /// The digest of the rows without the timestamps, if the export wants it.
    pub(super) content_sha256: Option<String>,
}

impl Attempt<'_> {
    /// Produces and stores the file.
    pub(super) async fn produce(&self, row: &Model, plan: &Plan) -> Result<Produced, JobError> {
        let requested_at = Timestamp::from(row.requested_at);
        let content = row.wants_content_digest.then(|| self.content_digest(plan)).transpose()?;
        let (sealed, snapshot_at) = self.write_segments(requested_at, plan, content.clone()).await?;
        let dataset = plan.dataset.info();
        let format = plan.format.info();
        let compression = plan.whole_file_compression();
        let file = FileInfo {
            name: file_name(row, plan),
            size: sealed.seal.size,
            rows: sealed.seal.rows,
            sha256: sealed.seal.sha256.clone(),
            media_type: compression.media_type().unwrap_or(format.media_type).to_owned(),
        };
        let completed_at = sealed.completed_at;
        let finished = FinishedFile {
            id: self.id,
            dataset: row.dataset.clone(),
            dataset_version: dataset.version.clone(),
            notes: dataset.notes.clone(),
            file: file.clone(),
            compression,
            requested_at,
            snapshot_at: (dataset.snapshot == Snapshot::Export).then_some(snapshot_at),
            completed_at,
        };
        let metadata = serde_json::to_vec(&plan.format.metadata(&plan.layout, &finished))?;
        let manifest = Manifest {
            v: ENVELOPE_VERSION,
            export_id: self.id,
            attempt: self.number,
            provenance: Some(Provenance {
                dataset: row.dataset.clone(),
                dataset_version: dataset.version.clone(),
                template: plan.layout.template.name.clone(),
                template_version: plan.layout.template.version.clone(),
                requested_at: Some(requested_at),
                completed_at: Some(completed_at),
            }),
            segments: sealed.segments,
            seal: sealed.seal,
        };
        let manifest = serde_json::to_vec(&manifest)?;
        self.upload(delivery::metadata_path(self.id, self.number), metadata.into()).await?;
        self.upload(delivery::manifest_path(self.id, self.number), manifest.into()).await?;
        Ok(Produced { file, completed_at, content_sha256: content.map(|content| content.finish()) })
    }

    /// Begins the digest of the rows of the file.
    fn content_digest(&self, plan: &Plan) -> Result<ContentDigest, JobError> {
        let limits = PipelineLimits::from(&self.context.config);
        let layout = ContentDigest::layout(&plan.layout);
        match Tsv.encoding(&layout, Compression::None, &limits.format)? {
            Encoding::Parallel(encoder) => Ok(ContentDigest::new(encoder)),
            Encoding::Sequential(_) => unreachable!("TSV has an encoder"),
        }
    }

    /// Runs the pipeline, which stores the segments. Concurrently asks the source for the total number of rows, for
    /// progress reports. Returns the stored file, and the time of the source's data that the file shows. If the source
    /// does not report this time, returns the time at which the exporter began to open the dataset. Adds the rows to
    /// `content`.
    async fn write_segments(
        &self,
        requested_at: Timestamp,
        plan: &Plan,
        content: Option<ContentDigest>,
    ) -> Result<(SealedFile, Timestamp), JobError> {
        let limits = PipelineLimits::from(&self.context.config);
        let encoding = plan.format.encoding(&plan.layout, plan.compression, &limits.format)?;
        let counting = self.expect_rows(plan);
        let open = || async {
            let began_at = self.context.clock.now();
            let opened = plan.dataset.open(&plan.query).instrument(info_span!("dataset.open")).await?;
            Ok((opened, began_at))
        };
        let (opened, opened_at) = self.outlast(WaitingFor::Source, open).await?;
        // prefer the time that the source reports, because opening may have waited for a connection
        let snapshot_at = Timestamp::from(opened.snapshot_at.unwrap_or(opened_at));
        let pipeline = Pipeline {
            frames: opened.frames,
            layout: Arc::new(plan.layout.clone()),
            encoding,
            compression: plan.whole_file_compression(),
            requested_at,
            meter: Arc::clone(&self.meter),
            limits,
            sink: self,
            clock: Arc::clone(&self.context.clock),
        };
        let span = info_span!("encode", file.rows = Empty, file.bytes = Empty);
        let sealed = {
            let mut running = std::pin::pin!(pipeline.run_with(content).instrument(span.clone()));
            tokio::select! {
                sealed = &mut running => sealed?,
                () = counting => running.await?,
            }
        };
        span.record("file.rows", sealed.seal.rows).record("file.bytes", sealed.seal.size);
        Ok((sealed, snapshot_at))
    }

    /// Asks the source for the total number of rows, which progress reports show and from which they predict the
    /// remaining time. If the source has neither a count nor an estimate, progress reports contain no total and no
    /// remaining time.
    async fn expect_rows(&self, plan: &Plan) {
        match count_rows(plan).await {
            Ok(Some(rows)) => self.meter.expect(rows),
            Ok(None) => {}
            Err(e) => warn!(export.id = %self.id, error = %e, "failed to count the rows of an export"),
        }
    }

    /// Uploads an object to `path` in the file store, and repeats the upload during an outage of the store. Each upload
    /// is a separate task, which continues after the attempt has stopped. [`Attempt::discard`] waits for these tasks,
    /// so that it can delete every object.
    pub(super) async fn upload(&self, path: String, payload: PutPayload) -> Result<(), JobError> {
        let upload = || {
            let (store, path, payload) = (self.context.store.clone(), path.clone(), payload.clone());
            let put = async move { store.put(&path, payload).await };
            let task = self.uploads.spawn(put.in_current_span());
            async move { Ok(task.await??) }
        };
        self.outlast(WaitingFor::Storage, upload).await
    }
}

/// Returns the exact number of rows if the source can count them quickly. Otherwise returns the source's estimate; None
/// if the source has no estimate.
async fn count_rows(plan: &Plan) -> Result<Option<u64>, DatasetError> {
    let count = match plan.dataset.count(&plan.query, Precision::Exact).await? {
        None => plan.dataset.count(&plan.query, Precision::Estimate).await?,
        exact => exact,
    };
    Ok(count.map(|count| count.rows))
}

/// Returns the name of the file, which a client uses when it saves the file.
fn file_name(row: &Model, plan: &Plan) -> String {
    let extension = format!("{}{}", plan.format.info().extension, plan.whole_file_compression().suffix());
    plan.layout.file_name.render(row.export_id(), &row.dataset, &row.template, row.requested_at.into(), &extension)
}
