//! Plans how a Parquet file is read: splits the file into row windows, and a row window into chunks if its pages are
//! large. The reader decodes and holds one chunk at a time. Usually, a row window is a single chunk.
//!
//! The sizes of row windows come from the footer of the file, which states only totals of row groups. A few rows may be
//! much larger than the average of their row group, so chunks are split by the sizes of the pages.

#[cfg(test)]
mod tests;

use std::{iter, ops::Range, sync::Arc};

use super::pages::{PAGE_BYTES, Page, Pages};

/// The approximate maximum number of values in a row window: the number of its rows times the number of its columns.
const VALUES: usize = 2_000_000;
/// The number of rows that a row window may have even if it then exceeds [`VALUES`]. Every window has a fixed cost, so
/// smaller windows are inefficient.
const MIN_ROWS: usize = 1024;
/// The approximate maximum size of a row window and of a chunk, in bytes: the decompressed or the decoded size,
/// whichever is larger. A chunk of a single page may exceed this size.
const BYTES: usize = 32 << 20;

/// A row window, or a chunk of a row window: a part of one row group, or several whole row groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) groups: Range<usize>,
    /// The rows of the range, counted from the first row of the first row group in `groups`.
    pub(super) rows: Range<usize>,
}

impl Window {
    /// Splits the range into two halves with about the same number of rows.
    pub(super) fn halves(self) -> (Self, Self) {
        let middle = self.rows.start + self.rows.len() / 2;
        let first = Self { groups: self.groups.clone(), rows: self.rows.start..middle };
        (first, Self { groups: self.groups, rows: middle..self.rows.end })
    }
}

/// Splits the range `rows` of a row group into chunks at the bounds of the pages of all `columns`. The pages of each
/// chunk have about [`BYTES`] bytes in total. If the pages of a chunk have more than [`PAGE_BYTES`] bytes, also splits
/// the chunk within its pages.
pub(super) fn split_at_pages(rows: Range<usize>, columns: &[Arc<Pages>]) -> Vec<Range<usize>> {
    let over = |rows: &Range<usize>| -> usize {
        let pages = columns.iter().flat_map(|pages| pages.over(rows));
        pages.map(|page: &Page| page.bytes).fold(0, usize::saturating_add)
    };
    if over(&rows) <= BYTES {
        return vec![rows];
    }
    // sort the pages of all columns by their first row, and visit each page once, because there may be very many
    let mut pages: Vec<_> = columns.iter().flat_map(|pages| pages.over(&rows)).collect();
    pages.sort_unstable_by_key(|page| page.rows.start);
    let mut bounds: Vec<_> = pages.iter().map(|page| page.rows.start).filter(|at| *at > rows.start).collect();
    bounds.push(rows.end);
    bounds.dedup();
    let mut pages = pages.into_iter().peekable();
    let (mut chunks, mut begin, mut end, mut held) = (Vec::new(), rows.start, rows.start, 0_usize);
    for bound in bounds {
        let more = iter::from_fn(|| pages.next_if(|page| page.rows.start < bound));
        held = more.map(|page| page.bytes).fold(held, usize::saturating_add);
        if end > begin && held > BYTES {
            chunks.push(begin..end);
            begin = end;
            // a page that begins earlier and extends into the next chunk counts for the next chunk too
            held = over(&(begin..bound));
        }
        end = bound;
    }
    chunks.push(begin..end);
    // the decoded size of a page may be much larger than its decompressed size; such a page is decoded in several parts
    let parts = chunks.into_iter().flat_map(|chunk| {
        let bytes = over(&chunk);
        let parts = if bytes > PAGE_BYTES { bytes.div_ceil(BYTES) } else { 1 };
        let (step, end) = (chunk.len().div_ceil(parts).max(1), chunk.end);
        chunk.step_by(step).map(move |at| at..(at + step).min(end))
    });
    parts.collect()
}

/// Splits the rows of row groups into row windows of at most `max_rows` rows. `groups` has the number of rows and the
/// size in bytes of each row group. `columns` is the number of columns that are read.
pub(super) fn plan(groups: &[(usize, usize)], columns: usize, max_rows: usize) -> Vec<Window> {
    let window_rows = (VALUES / columns.max(1)).max(MIN_ROWS).min(max_rows);
    let mut windows: Vec<Window> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, (group_rows, group_bytes)) in groups.iter().copied().enumerate().filter(|(_, group)| group.0 > 0) {
        if rows > 0 && (rows + group_rows > window_rows || bytes + group_bytes > BYTES) {
            (rows, bytes) = (0, 0);
        }
        // a large group is split by the limits of rows and bytes, and shares no window with other groups
        let by_bytes = group_rows as u128 * BYTES as u128 / group_bytes.max(1) as u128;
        let by_bytes = usize::try_from(by_bytes).unwrap_or(usize::MAX);
        let slice = window_rows.min(by_bytes).max(1);
        if rows == 0 && group_rows > slice {
            let slices = group_rows.div_ceil(slice);
            let step = group_rows.div_ceil(slices);
            let starts = (0..group_rows).step_by(step);
            windows.extend(starts.map(|at| Window { groups: index..index + 1, rows: at..(at + step).min(group_rows) }));
            continue;
        }
        match windows.last_mut() {
            Some(window) if rows > 0 => {
                window.groups.end = index + 1;
                window.rows.end += group_rows;
            }
            _ => windows.push(Window { groups: index..index + 1, rows: 0..group_rows }),
        }
        rows += group_rows;
        bytes += group_bytes;
    }
    windows
}
