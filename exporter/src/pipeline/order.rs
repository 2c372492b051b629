//! What a template makes of rows: calculated columns, frame by frame, and an order, for which all rows have to be there.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use polars::prelude::DataFrame;
use tokio::task::spawn_blocking;

use super::Rows;
use crate::{
    dataset::{DatasetError, Frames},
    error::JobError,
    format::{FormatError, Layout},
    template::TemplateError,
};

/// The rows as the file has them. `at_once` frames are calculated at the same time.
pub(super) async fn shaped(
    frames: Frames,
    layout: &Arc<Layout>,
    at_once: usize,
    sort_bytes: u64,
) -> Result<Rows, JobError> {
    if layout.shape.is_untouched() {
        return Ok(frames.map_err(JobError::from).boxed());
    }
    let shape = Arc::clone(layout);
    let frames = frames
        .map(move |frame| {
            let layout = Arc::clone(&shape);
            async move {
                let frame = frame?;
                let shaped = spawn_blocking(move || layout.shape.apply(frame)).await?;
                // the same rows would fail again
                shaped.map_err(|e| TemplateError::Value(e.to_string()).into())
            }
        })
        .buffered(at_once)
        .boxed();
    if layout.shape.is_sorted() { sorted(frames, layout, sort_bytes).await } else { Ok(frames) }
}

/// All rows in order, if they fit the memory that is set apart for that.
async fn sorted(mut frames: Rows, layout: &Arc<Layout>, most: u64) -> Result<Rows, JobError> {
    let mut parts: Vec<DataFrame> = Vec::new();
    let mut bytes = 0;
    while let Some(frame) = frames.try_next().await? {
        bytes += needed(&frame);
        if bytes > most {
            return Err(too_large(most).into());
        }
        parts.push(frame);
    }
    let layout = Arc::clone(layout);
    let frame = spawn_blocking(move || {
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else { return Ok(None) };
        for part in parts {
            all.vstack_mut_owned(part)?;
        }
        all.rechunk_mut();
        layout.shape.sorted(all).map(Some)
    })
    .await?
    .map_err(DatasetError::from)?;
    Ok(stream::iter(frame.map(Ok)).boxed())
}

/// The memory that rows take while they are sorted: they as they came, and another time what is put in order of them, which
/// is all but their long texts.
fn needed(frame: &DataFrame) -> u64 {
    let (rows, width) = (frame.height() as u64, frame.width() as u64);
    frame.estimated_size() as u64 + rows * width * CELL_BYTES
}

/// A number, or the beginning of a text and where the rest is.
const CELL_BYTES: u64 = 16;

fn too_large(most: u64) -> FormatError {
    FormatError::TooLarge {
        what: "the rows that this template sorts",
        limit: format!("{most} bytes in memory"),
        advice: "use a filter, or a template that leaves the rows in their order",
    }
}
