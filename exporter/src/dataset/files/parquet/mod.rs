//! Reads Parquet files in row windows, which are ranges of rows (see `plan`). The needed memory depends neither on the
//! size of a file nor on the sizes of its row groups.

mod annotations;
#[cfg(test)]
mod checksum_tests;
mod columns;
mod extras;
mod footer;
#[cfg(test)]
mod footer_tests;
#[cfg(test)]
mod int96_tests;
mod logical;
#[cfg(test)]
mod logical_tests;
mod nested;
mod pages;
mod plan;
mod repack;
#[cfg(test)]
mod repack_tests;
#[cfg(test)]
mod tests;
mod thrift_fields;
mod windows;

use std::time::{Duration, Instant};

use polars::prelude::{BooleanChunked, DataFrame};

use self::plan::Window;
pub(in crate::dataset::files) use self::windows::Windows;
use super::{
    super::{DatasetError, RowCount, frame_channel::LimitedSender},
    row_filter::RowFilter,
};

/// The maximum number of rows in a row window if the query has a limit, so that few rows are decoded in vain.
const FEW_ROWS: usize = 16_384;
/// The maximum number of row windows from which an estimate takes its sample.
const SAMPLES: usize = 16;
/// The maximum number of rows of a row window in the sample of an estimate.
const SAMPLE_ROWS: usize = 4_096;
/// The maximum duration of an estimate. After that time, the estimate uses the row windows that it has sampled so far.
const SAMPLE_TIME: Duration = Duration::from_millis(700);

/// Reads a file in row windows, and sends the columns `columns` of the rows that pass the filter. `cast` converts each
/// data frame before it is sent. A `limit` makes the windows smaller, but only `sender` enforces the limit. Returns
/// false when the receiver needs no further frame.
pub(super) fn read(
    file: &Windows,
    columns: &[String],
    filter: Option<&RowFilter>,
    sender: &mut LimitedSender,
    limit: Option<u64>,
    cast: &dyn Fn(DataFrame) -> Result<DataFrame, DatasetError>,
) -> Result<bool, DatasetError> {
    if let Some(gone) = columns.iter().find(|name| !file.schema().contains(name)) {
        return Err(DatasetError::MissingColumn(gone.clone()));
    }
    let mut needed = columns.to_vec();
    if let Some(filter) = filter {
        needed.extend(filter.columns.iter().filter(|name| !columns.contains(name)).cloned());
    }
    for window in file.plan(&needed, limit.map(|_| FEW_ROWS)) {
        let more = file.each(window, &needed, &mut |chunk| {
            if sender.is_closed() {
                return Ok(false);
            }
            let frame = match filter {
                None => Some(file.read(chunk, columns)?),
                Some(filter) => passing(file, chunk, filter, columns, sender)?,
            };
            Ok(match frame {
                None => true,
                Some(frame) => sender.send(cast(frame)?),
            })
        })?;
        if !more {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the rows of a row window or chunk that pass the filter, with the columns `columns`. Returns None if no row
/// passes, or if the receiver of `sender` needs no further frame.
fn passing(
    file: &Windows,
    window: &Window,
    filter: &RowFilter,
    columns: &[String],
    sender: &LimitedSender,
) -> Result<Option<DataFrame>, DatasetError> {
    let mut frame = file.read(window, &filter.columns)?;
    let Some(mask) = filter.mask(&frame, || sender.is_closed())?.filter(BooleanChunked::any) else { return Ok(None) };
    let others: Vec<_> = columns.iter().filter(|name| !filter.columns.contains(name)).cloned().collect();
    if !others.is_empty() {
        frame.hstack_mut(file.read(window, &others)?.columns())?;
    }
    Ok(Some(frame.select(columns.iter().map(String::as_str))?.filter(&mask)?))
}

/// Counts the rows that pass a filter, and reads only the columns of the filter. If `is_canceled` returns true, stops
/// early and returns a count that is too small.
pub(super) fn count(file: &Windows, filter: &RowFilter, is_canceled: impl Fn() -> bool) -> Result<u64, DatasetError> {
    let mut rows = 0;
    for window in file.plan(&filter.columns, None) {
        let more = file.each(window, &filter.columns, &mut |chunk| {
            let frame = file.read(chunk, &filter.columns)?;
            let Some(mask) = filter.mask(&frame, &is_canceled)? else { return Ok(false) };
            rows += u64::from(mask.sum().unwrap_or(0));
            Ok(true)
        })?;
        if !more || is_canceled() {
            break;
        }
    }
    Ok(rows)
}

/// Estimates the number of rows that pass a filter, from a sample of row windows that are spread over the file. The
/// result is exact if the sample has all rows of the file.
pub(super) fn estimate(file: &Windows, filter: &RowFilter) -> Result<RowCount, DatasetError> {
    let plan = file.plan(&filter.columns, Some(SAMPLE_ROWS));
    let step = plan.len().div_ceil(SAMPLES).max(1);
    let until = Instant::now() + SAMPLE_TIME;
    let (mut sampled, mut passed) = (0, 0);
    for window in plan.iter().skip(step / 2).step_by(step) {
        let frame = file.first(window.clone(), &filter.columns)?;
        sampled += frame.height() as u64;
        passed += u64::from(filter.mask(&frame, || false)?.and_then(|mask| mask.sum()).unwrap_or(0));
        if Instant::now() > until {
            break;
        }
    }
    if sampled == file.rows() {
        return Ok(RowCount::exact(passed));
    }
    let share = passed as f64 / sampled.max(1) as f64;
    Ok(RowCount::estimate((share * file.rows() as f64).round() as u64))
}
