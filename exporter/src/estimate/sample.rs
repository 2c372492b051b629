//! The first rows of an export: encoded to see how large they become, and shown as a preview.

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
    dataset::Query,
    error::JobError,
    format::{Bounds, Compression, Format, Levels, Ndjson},
    pipeline::{Budget, Pipeline},
    progress::Meter,
    segment::{Limits, Outlet},
    worker::plan::Plan,
};

/// Rows that are looked at.
const ROWS: u64 = 1_000;
/// Characters that are left of a long text in a preview, before its `…`. With at most ten rows an answer stays small:
/// rows that are still too large lose their last columns.
const CELL: usize = 200;
/// Bytes of all rows of a preview.
const PREVIEW_BYTES: usize = 256 << 10;

/// The first rows of an export.
pub(super) struct Sample {
    frames: Vec<DataFrame>,
    rows: u64,
    whole: bool,
}

/// What the sample becomes as a file.
pub(super) struct Measured {
    rows: u64,
    bytes: u64,
    /// Bytes of a file without rows.
    around: u64,
    /// The first rows as objects.
    pub(super) preview: Vec<Map<String, Value>>,
}

impl Sample {
    /// Reads until there are enough rows, or the time is over: a filter that few rows pass may have to look at all.
    pub(super) async fn take(plan: &Plan, time: Duration) -> Result<Self, JobError> {
        let until = Instant::now() + time;
        let query = Query { limit: Some(ROWS), ..plan.query.clone() };
        let mut sample = Self { frames: Vec::new(), rows: 0, whole: false };
        let Ok(opened) = timeout_at(until, plan.dataset.open(&query)).await else { return Ok(sample) };
        let mut frames = opened?;
        while sample.rows < ROWS {
            match timeout_at(until, frames.try_next()).await {
                Ok(Ok(Some(frame))) => {
                    let frame = frame.head(Some((ROWS - sample.rows) as usize));
                    sample.rows += frame.height() as u64;
                    sample.frames.push(frame);
                }
                Ok(Ok(None)) => {
                    sample.whole = true;
                    break;
                }
                Ok(Err(e)) => return Err(e.into()),
                Err(_) => break,
            }
        }
        Ok(sample)
    }

    /// Rows that were read.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there are no others.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Encodes the sample as the export would, and its first rows as JSON.
    pub(super) async fn measure(&self, plan: &Plan, clock: &SharedClock) -> Result<Measured, JobError> {
        let bytes =
            encode(plan.format.as_ref(), plan, self.frames.clone(), plan.compression, clock).await?.len() as u64;
        let around = encode(plan.format.as_ref(), plan, Vec::new(), plan.compression, clock).await?.len() as u64;
        let mut first = Vec::new();
        // which rows come first in an order of the template's own is known of all that were read
        let mut left = if plan.layout.shape.is_sorted() { usize::MAX } else { PREVIEW_ROWS };
        for frame in &self.frames {
            let part = frame.head(Some(left));
            left -= part.height();
            first.push(part);
            if left == 0 {
                break;
            }
        }
        let lines = encode(&Ndjson, plan, first, Compression::None, clock).await?;
        Ok(Measured { rows: self.rows, bytes, around, preview: preview(&lines)? })
    }
}

impl Measured {
    /// About how large a file with so many rows is.
    pub(super) fn bytes_of(&self, rows: u64) -> u64 {
        if rows == self.rows || self.rows == 0 {
            return self.bytes;
        }
        let each = self.bytes.saturating_sub(self.around) as f64 / self.rows as f64;
        self.around + (each * rows as f64) as u64
    }
}

async fn encode(
    format: &dyn Format,
    plan: &Plan,
    frames: Vec<DataFrame>,
    compression: Compression,
    clock: &SharedClock,
) -> Result<Vec<u8>, JobError> {
    let kept = Memory::default();
    let budget = Budget {
        segments: Limits { bytes: usize::MAX, age: HOUR, first_bytes: usize::MAX, first_age: HOUR },
        encoders: 1,
        sort_bytes: u64::MAX,
        levels: Levels::default(),
        bounds: Bounds::default(),
    };
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        layout: Arc::new(plan.layout.clone()),
        encoding: format.encoding(&plan.layout, &budget.bounds)?,
        compression,
        requested_at: clock.now().into(),
        meter: Arc::new(Meter::start()),
        budget: budget.clone(),
        outlet: &kept,
        clock: Arc::clone(clock),
    };
    pipeline.run().await?;
    Ok(kept.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Longer than a sample takes.
const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps the bytes of a sample, which are few.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

#[async_trait]
impl Outlet for Memory {
    async fn keep(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.iter().for_each(|chunk| kept.extend_from_slice(chunk));
        Ok(())
    }
}

/// Lines of JSON as objects that together stay small.
fn preview(lines: &[u8]) -> Result<Vec<Map<String, Value>>, JobError> {
    let most = PREVIEW_BYTES / PREVIEW_ROWS;
    let rows = serde_json::Deserializer::from_slice(lines).into_iter::<Map<String, Value>>();
    let short = rows.map(|row| {
        let mut size = 0;
        let cells = row?.into_iter().map(|(name, value)| (name, cut(value)));
        let kept = cells.take_while(|(name, value)| {
            size += name.len() + value.as_str().map_or(32, str::len);
            size <= most
        });
        Ok(kept.collect())
    });
    short.take(PREVIEW_ROWS).collect()
}

fn cut(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(CELL) {
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
    fn a_preview_stays_small_whatever_is_in_the_cells() {
        let long = "é".repeat(1 << 20);
        let many: Map<String, Value> =
            (0..10_000).map(|n| (format!("column{n}"), Value::from("x".repeat(150)))).collect();
        let lines = format!("{}\n{}\n", serde_json::json!({"a": long, "n": 1}), Value::Object(many));
        let rows = preview(lines.as_bytes()).unwrap();
        assert_eq!(rows[0]["a"].as_str().unwrap().chars().count(), CELL + 1);
        assert_eq!(rows[0]["n"], 1);
        assert!(rows[1].len() > 10 && serde_json::to_vec(&rows).unwrap().len() < 64 << 10);
    }

    #[test]
    fn what_stands_around_the_rows_is_not_multiplied() {
        let measured = Measured { rows: 10, bytes: 300, around: 100, preview: vec![] };
        assert_eq!((measured.bytes_of(10), measured.bytes_of(1_000)), (300, 20_100));
        assert_eq!(Measured { rows: 0, bytes: 100, around: 100, preview: vec![] }.bytes_of(0), 100);
    }
}
