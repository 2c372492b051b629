//! The projection stage: calculates the columns of the file for each data frame. If the template sorts the rows, the
//! stage collects all rows in memory.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use polars::prelude::{DataFrame, PolarsError};
use tokio::task::spawn_blocking;

use super::stage::Rows;
use crate::{
    dataset::{DatasetError, Frames},
    error::JobError,
    format::FormatError,
    layout::Layout,
    template::{TemplateError, expr},
};

/// Applies the projection of the layout to up to `max_concurrent` data frames at once. If the layout has sort keys,
/// also sorts all rows, in at most `max_sort_size_per_export` bytes.
pub(super) async fn projected(
    frames: Frames,
    layout: &Arc<Layout>,
    max_concurrent: usize,
    max_sort_size_per_export: u64,
) -> Result<Rows, JobError> {
    if layout.projection.is_identity() {
        return Ok(frames.map_err(JobError::from).boxed());
    }
    let frame_layout = Arc::clone(layout);
    let mut rows = 0;
    let frames = frames
        .map(move |frame| {
            let layout = Arc::clone(&frame_layout);
            let earlier_rows = rows;
            rows += frame.as_ref().map_or(0, DataFrame::height);
            async move {
                let frame = frame?;
                // not retried, because the same rows would fail again
                let project = move || {
                    layout.projection.apply(frame.clone()).map_err(|e| failure(&layout, &frame, earlier_rows, &e))
                };
                Ok(spawn_blocking(project).await??)
            }
        })
        .buffered(max_concurrent)
        .boxed();
    if layout.projection.is_sorted() { sorted(frames, layout, max_sort_size_per_export).await } else { Ok(frames) }
}

/// Returns the error for rows whose calculation failed with `error`. `earlier_rows` is the number of rows in the data
/// frames before `frame`.
fn failure(layout: &Layout, frame: &DataFrame, earlier_rows: usize, error: &PolarsError) -> TemplateError {
    let found = layout.projection.failure(frame);
    let column = found.as_ref().and_then(|found| layout.columns.get(found.output?));
    let row = found.as_ref().map(|found| earlier_rows + found.row + 1);
    let place = if layout.projection.is_sorted() { "before the rows are sorted" } else { "of the export" };
    TemplateError::Value {
        template: layout.template.name.clone(),
        part: column.map_or_else(|| "its sort keys".to_owned(), |column| format!("column `{}`", column.title)),
        row: row.map_or_else(String::new, |row| format!(", row {row} {place}")),
        cause: expr::cause(found.as_ref().map_or(error, |found| &found.error)),
    }
}

/// Collects and sorts all rows.
///
/// # Errors
/// When the sort needs more than `max_memory` bytes.
async fn sorted(mut frames: Rows, layout: &Arc<Layout>, max_memory: u64) -> Result<Rows, JobError> {
    let mut parts: Vec<DataFrame> = Vec::new();
    let mut memory = 0;
    while let Some(frame) = frames.try_next().await? {
        memory += sort_memory(&frame);
        if memory > max_memory {
            return Err(too_large(max_memory).into());
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
        layout.projection.sorted(all).map(Some)
    })
    .await?
    .map_err(DatasetError::from)?;
    Ok(stream::iter(frame.map(Ok)).boxed())
}

/// Returns the memory that is needed to sort a data frame, in bytes: the size of the frame and the size of a sorted
/// copy. The sorted copy does not duplicate long texts, because it refers to the texts of the frame.
fn sort_memory(frame: &DataFrame) -> u64 {
    let (rows, width) = (frame.height() as u64, frame.width() as u64);
    frame.estimated_size() as u64 + rows * width * VALUE_SIZE
}

/// The size of one value in the sorted copy of a data frame, in bytes. The sorted copy stores a number itself, and
/// stores a text as a reference.
const VALUE_SIZE: u64 = 16;

fn too_large(max_memory: u64) -> FormatError {
    FormatError::TooLarge {
        subject: "the rows that this template sorts",
        limit: format!("{max_memory} bytes in memory"),
        advice: "use a filter, or a template that leaves the rows in their order",
    }
}
