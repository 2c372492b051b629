//! Where windows and their pieces begin and end.

use super::*;

/// Each row exactly once and in order, whatever the groups.
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
        // large cells: no number of rows wins over the bytes
        (vec![(1_024, 1 << 30)], 2, 32),
        (vec![(4, 1 << 30)], 2, 4),
    ] {
        let windows = plan(&groups, width, usize::MAX);
        assert!(covers(&groups, &windows), "{groups:?}: {windows:?}");
        assert_eq!(windows.len(), expected, "{groups:?}: {windows:?}");
    }
}

#[test]
fn windows_are_cut_between_pages_where_these_are_large() {
    let pages = |sizes: &[(usize, usize)]| {
        let mut begin = 0;
        let data = sizes.iter().map(|(rows, bytes)| {
            begin += rows;
            Page { place: 0..0, values: *rows, rows: begin - rows..begin, begins: begin - rows, bytes: *bytes }
        });
        Arc::new(Pages { dictionary: None, data: data.collect() })
    };
    let small = pages(&[(100, 1_000); 10]);
    assert_eq!(cut(0..1_000, std::slice::from_ref(&small)).len(), 1);
    // the last rows are most of it
    let skewed = pages(&[(990, 1_000), (2, BYTES / 2), (2, BYTES / 2), (2, BYTES / 2), (4, BYTES * 2)]);
    let pieces = cut(0..1_000, &[small, skewed]);
    // a page is the least, and the other column's pages are read beside it
    assert_eq!(pieces, [0..992, 992..994, 994..996, 996..1_000]);
    // unless it has few bytes, and says much
    let short = pages(&[(90, 1_000), (1_000, PAGE_BYTES * 2)]);
    let pieces = cut(0..1_090, &[short]);
    assert_eq!(pieces.len(), 1 + PAGE_BYTES * 2 / BYTES, "{pieces:?}");
    assert!(pieces[1..].iter().all(|piece| piece.len() <= 63), "{pieces:?}");
}
