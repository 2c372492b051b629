//! Tests that row windows and their chunks contain each row once and stay within their limits.

use super::*;

/// Whether the row windows have each row of the row groups exactly once and in order.
fn covers(groups: &[(usize, usize)], windows: &[Window]) -> bool {
    let starts: Vec<usize> = groups
        .iter()
        .scan(0, |at, group| {
            *at += group.0;
            Some(*at - group.0)
        })
        .collect();
    let mut at = 0;
    windows.iter().all(|window| {
        let begins = starts[window.groups.start] + window.rows.start == at;
        at += window.rows.len();
        begins && !window.rows.is_empty()
    }) && at == groups.iter().map(|group| group.0).sum::<usize>()
}

#[test]
fn windows_cover_all_rows_once_and_are_bounded() {
    for (groups, width, expected) in [
        (vec![], 5, 0),
        (vec![(0, 0)], 5, 0),
        (vec![(10, 100); 100], 5, 1),
        (vec![(0, 0), (10, 100), (0, 0), (10, 100)], 5, 1),
        (vec![(272_727, 1_490_000); 11], 5, 11),
        (vec![(3_000_000, 60 << 20)], 5, 8),
        (vec![(10, 100), (3_000_000, 1 << 20), (10, 100)], 5, 10),
        (vec![(100_000, 1 << 30)], 2, 32),
        // the values are large, so that the limit of bytes is stricter than the limit of rows
        (vec![(1_024, 1 << 30)], 2, 32),
        (vec![(4, 1 << 30)], 2, 4),
    ] {
        let windows = plan(&groups, width, usize::MAX);
        assert!(covers(&groups, &windows), "{groups:?}: {windows:?}");
        assert_eq!(windows.len(), expected, "{groups:?}: {windows:?}");
    }
}

#[test]
fn windows_are_split_between_large_pages() {
    let pages = |sizes: &[(usize, usize)]| {
        let mut begin = 0;
        let data = sizes.iter().map(|(rows, bytes)| {
            begin += rows;
            Page {
                range: 0..0,
                values: *rows,
                rows: begin - rows..begin,
                first_row: begin - rows,
                bytes: *bytes,
                levels: None,
            }
        });
        Arc::new(Pages { data: data.collect(), ..Pages::default() })
    };
    let small = pages(&[(100, 1_000); 10]);
    assert_eq!(split_at_pages(0..1_000, std::slice::from_ref(&small)).len(), 1);
    // the last rows have most of the bytes
    let skewed = pages(&[(990, 1_000), (2, BYTES / 2), (2, BYTES / 2), (2, BYTES / 2), (4, BYTES * 2)]);
    let chunks = split_at_pages(0..1_000, &[small, skewed]);
    // a page is the smallest unit, and the pages of the other column are read with it
    assert_eq!(chunks, [0..992, 992..994, 994..996, 996..1_000]);
    // a page that decodes to much more than the limit is split further
    let short = pages(&[(90, 1_000), (1_000, PAGE_BYTES * 2)]);
    let chunks = split_at_pages(0..1_090, &[short]);
    assert_eq!(chunks.len(), 1 + PAGE_BYTES * 2 / BYTES, "{chunks:?}");
    assert!(chunks[1..].iter().all(|chunk| chunk.len() <= 63), "{chunks:?}");
}

/// Returns consecutive pages. Each item of `sizes` describes one page: the number of rows that begin in the page, its
/// size in bytes, and whether it begins with the remaining values of the previous page's last row. Only a page of a
/// list column can begin in this way.
fn pages(sizes: impl Iterator<Item = (usize, usize, bool)>) -> Arc<Pages> {
    let mut seen = 0;
    let data = sizes.map(|(begun, bytes, continues)| {
        let rows = seen - usize::from(continues && seen > 0)..seen + begun;
        seen += begun;
        Page { range: 0..0, values: begun, first_row: rows.end - begun, rows, bytes, levels: None }
    });
    Arc::new(Pages { data: data.collect(), ..Pages::default() })
}

/// Splits rows like [`split_at_pages`], but adds up the sizes of all pages for each chunk. The tests compare both
/// results, because this function is slow but simple.
fn split_slowly(rows: Range<usize>, columns: &[Arc<Pages>]) -> Vec<Range<usize>> {
    let over =
        |rows: &Range<usize>| columns.iter().flat_map(|pages| pages.over(rows)).map(|page| page.bytes).sum::<usize>();
    let starts = columns.iter().flat_map(|pages| pages.over(&rows)).map(|page| page.rows.start);
    let mut bounds: Vec<_> = starts.filter(|at| *at > rows.start).chain([rows.end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let (mut chunks, mut begin, mut end) = (Vec::new(), rows.start, rows.start);
    for bound in bounds {
        if end > begin && over(&(begin..bound)) > BYTES {
            chunks.push(begin..end);
            begin = end;
        }
        end = bound;
    }
    chunks.push(begin..end);
    chunks
}

#[test]
fn windows_are_split_at_the_same_rows_as_by_the_reference() {
    let mut seed = 7_u64;
    let mut any = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut cuts = 0;
    for _ in 0..200 {
        let rows = 1 + any(3_000);
        let columns: Vec<_> = (0..1 + any(4))
            .map(|_| {
                let (mut sizes, mut seen) = (Vec::new(), 0);
                while seen < rows {
                    // a page in which no row begins continues a row
                    let begun = any(120).max(usize::from(seen == 0)).min(rows - seen);
                    sizes.push((begun, any(BYTES / 4), begun == 0 || any(3) == 0));
                    seen += begun;
                }
                pages(sizes.into_iter())
            })
            .collect();
        let from = any(rows);
        let window = from..from + 1 + any(rows - from);
        let chunks = split_at_pages(window.clone(), &columns);
        assert_eq!(chunks, split_slowly(window, &columns));
        cuts += chunks.len() - 1;
    }
    assert!(cuts > 300, "{cuts}");
}

#[test]
fn any_number_of_small_pages_is_split_in_one_pass() {
    // the slow reference would need 40 billion additions
    let count = 1 << 20;
    let small = pages((0..count).map(|_| (2, 128, false)));
    let chunks = split_at_pages(0..2 * count, &[small]);
    assert_eq!(chunks.len(), count * 128 / BYTES);
    assert!(chunks.iter().all(|chunk| chunk.len() == 2 * BYTES / 128), "{chunks:?}");
}

#[test]
fn a_row_group_with_an_absurd_number_of_rows_is_not_split_row_by_row() {
    let rows = 1 << 40;
    let windows = plan(&[(rows, 0)], 1, rows);
    assert!(windows.len() <= rows / VALUES + 1, "{} windows", windows.len());
}
