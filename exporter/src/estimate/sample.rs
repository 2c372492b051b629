//! Reads and encodes the first rows of an export, to measure the size of a row and to show a preview.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use platform::clock::SharedClock;
use polars::prelude::DataFrame;
use protocol::{delivery::Segment, estimate::PREVIEW_ROWS};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use crate::{
    dataset::{Query, RowCount},
    error::JobError,
    format::{Compression, CompressionLevels, Format, FormatLimits, Ndjson},
    pipeline::{Pipeline, PipelineLimits},
    plan::Plan,
    progress::Meter,
    segment::{SegmentLimits, SegmentSink},
};

/// The maximum number of rows of a sample.
const SAMPLE_ROWS: u64 = 1_000;
/// The maximum length of a text in a preview, in characters; `…` follows a truncated text.
const MAX_PREVIEW_TEXT: usize = 200;
/// The maximum size of a preview, in bytes. Each row gets an equal share of this size. A row that is larger than its
/// share has only its first columns, those that fit into the share.
const MAX_PREVIEW_SIZE: usize = 256 << 10;

/// The first rows of the source, before the projection of the template is applied.
pub(super) struct Sample {
    frames: Vec<DataFrame>,
    rows: u64,
    complete: bool,
}

/// The preview of a sample, and the size of the sample as a file. `rows` and `bytes` are the row count and the size of
/// the file that has only the rows of the sample.
pub(super) struct EncodedSample {
    rows: u64,
    bytes: u64,
    /// The size in bytes of a file of the same format without rows.
    empty_bytes: u64,
    /// The first rows as JSON objects, which the user sees.
    pub(super) preview: Vec<Map<String, Value>>,
}

impl Sample {
    /// Reads the first [`SAMPLE_ROWS`] rows of the query of `plan`. Returns fewer rows if the query has no more, or if
    /// the source does not return more within `time`.
    pub(super) async fn take(plan: &Plan, time: Duration) -> Result<Self, JobError> {
        let until = Instant::now() + time;
        let query = Query { limit: Some(SAMPLE_ROWS), ..plan.query.clone() };
        let mut sample = Self { frames: Vec::new(), rows: 0, complete: false };
        let Ok(opened) = timeout_at(until, plan.dataset.open(&query)).await else { return Ok(sample) };
        let mut frames = opened?.frames;
        while sample.rows < SAMPLE_ROWS {
            match timeout_at(until, frames.try_next()).await {
                Ok(Ok(Some(frame))) => {
                    let frame = frame.head(Some((SAMPLE_ROWS - sample.rows) as usize));
                    sample.rows += frame.height() as u64;
                    sample.frames.push(frame);
                }
                Ok(Ok(None)) => {
                    sample.complete = true;
                    break;
                }
                Ok(Err(e)) => return Err(e.into()),
                Err(_) => break,
            }
        }
        Ok(sample)
    }

    /// Returns the number of rows of the sample.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the sample contains all rows of the query.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Encodes the sample in the requested format, to measure its size. Also encodes the first rows as JSON, for the
    /// preview.
    pub(super) async fn measure(&self, plan: &Plan, clock: &SharedClock) -> Result<EncodedSample, JobError> {
        let bytes =
            encode(plan.format.as_ref(), plan, self.frames.clone(), plan.compression, clock).await?.len() as u64;
        let empty_bytes = encode(plan.format.as_ref(), plan, Vec::new(), plan.compression, clock).await?.len() as u64;
        let mut first = Vec::new();
        // a template that sorts needs the whole sample to decide the first rows
        let mut left = if plan.layout.projection.is_sorted() { usize::MAX } else { PREVIEW_ROWS };
        for frame in &self.frames {
            let part = frame.head(Some(left));
            left -= part.height();
            first.push(part);
            if left == 0 {
                break;
            }
        }
        let lines = encode(&Ndjson, plan, first, Compression::None, clock).await?;
        Ok(EncodedSample { rows: self.rows, bytes, empty_bytes, preview: preview(&lines)? })
    }
}

impl EncodedSample {
    /// Estimates the size of a file with `count` rows, in bytes, from the mean size of the sample's rows. If the sample
    /// has no rows, returns a size only for an exact `count` of 0, and None otherwise.
    pub(super) fn bytes_of(&self, count: RowCount) -> Option<u64> {
        if self.rows == 0 {
            return (count == RowCount::exact(0)).then_some(self.bytes);
        }
        if count.rows == self.rows {
            return Some(self.bytes);
        }
        let each = self.bytes.saturating_sub(self.empty_bytes) as f64 / self.rows as f64;
        Some(self.empty_bytes + (each * count.rows as f64) as u64)
    }
}

async fn encode(
    format: &dyn Format,
    plan: &Plan,
    frames: Vec<DataFrame>,
    compression: Compression,
    clock: &SharedClock,
) -> Result<Vec<u8>, JobError> {
    let sink = MemorySink::default();
    let limits = PipelineLimits {
        segments: SegmentLimits { size: usize::MAX, max_age: HOUR, first_size: usize::MAX, first_max_age: HOUR },
        encoder_threads: 1,
        max_sort_size_per_export: u64::MAX,
        compression: CompressionLevels::default(),
        format: FormatLimits::default(),
    };
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        layout: Arc::new(plan.layout.clone()),
        encoding: format.encoding(&plan.layout, compression, &limits.format)?,
        compression: format.info().whole_file_compression(compression),
        requested_at: clock.now().into(),
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::clone(clock),
    };
    pipeline.run().await?;
    Ok(sink.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A maximum age that no segment of a sample reaches, so that the whole sample is stored as one segment.
const HOUR: Duration = Duration::from_secs(3_600);

/// A segment sink that keeps the bytes of an encoded sample in memory.
#[derive(Default)]
struct MemorySink(Mutex<Vec<u8>>);

#[async_trait]
impl SegmentSink for MemorySink {
    async fn store(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        Ok(())
    }
}

/// Parses the NDJSON lines of a preview into objects, and truncates long texts. If a row is larger than its share of
/// [`MAX_PREVIEW_SIZE`], its object has only the first columns, those that fit into the share.
fn preview(lines: &[u8]) -> Result<Vec<Map<String, Value>>, JobError> {
    let max_row_size = MAX_PREVIEW_SIZE / PREVIEW_ROWS;
    let rows = serde_json::Deserializer::from_slice(lines).into_iter::<Map<String, Value>>();
    let short = rows.map(|row| {
        let mut size = 0;
        let cells = row?.into_iter().map(|(name, value)| (name, truncated(value)));
        let kept = cells.take_while(|(name, value)| {
            size += name.len() + value.as_str().map_or(32, str::len);
            size <= max_row_size
        });
        Ok(kept.collect())
    });
    short.take(PREVIEW_ROWS).collect()
}

/// Returns a text of more than [`MAX_PREVIEW_TEXT`] characters truncated to this length, and any other value unchanged.
fn truncated(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(MAX_PREVIEW_TEXT) {
            Some((at, _)) => Value::String(format!("{}…", &text[..at])),
            None => Value::String(text),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_of_large_values_stays_small() {
        let long = "é".repeat(1 << 20);
        let many: Map<String, Value> =
            (0..10_000).map(|n| (format!("column{n}"), Value::from("x".repeat(150)))).collect();
        let lines = format!("{}\n{}\n", serde_json::json!({"a": long, "n": 1}), Value::Object(many));
        let rows = preview(lines.as_bytes()).unwrap();
        assert_eq!(rows[0]["a"].as_str().unwrap().chars().count(), MAX_PREVIEW_TEXT + 1);
        assert_eq!(rows[0]["n"], 1);
        assert!(rows[1].len() > 10 && serde_json::to_vec(&rows).unwrap().len() < 64 << 10);
    }

    #[test]
    fn bytes_around_the_rows_count_once() {
        let measured = EncodedSample { rows: 10, bytes: 300, empty_bytes: 100, preview: vec![] };
        for (count, bytes) in [(RowCount::exact(10), 300), (RowCount::estimate(1_000), 20_100)] {
            assert_eq!(measured.bytes_of(count), Some(bytes));
        }
        let empty = EncodedSample { rows: 0, bytes: 100, empty_bytes: 100, preview: vec![] };
        assert_eq!(empty.bytes_of(RowCount::exact(0)), Some(100));
        // the source was too slow for a sample
        for count in [RowCount::exact(5), RowCount::estimate(5), RowCount::estimate(0)] {
            assert_eq!(empty.bytes_of(count), None);
        }
    }
}
