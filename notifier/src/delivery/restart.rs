//! Whether a stream can go on with the bytes of a new attempt.

use protocol::delivery::Segment;

/// What a new attempt means for a stream that already sent bytes of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// The bytes sent are those of the new attempt too: go on.
    Same,
    /// They are as far as the new attempt has come, which is not yet as far as they were sent: wait.
    Behind,
    /// The new attempt made other bytes, or it can't be shown that it did not: begin again.
    Differs,
}

/// Compares the segments of both attempts that begin before `offset`, the position up to which bytes were sent.
///
/// Segments are cut by size and by time, so that equal bytes may be cut differently; then the hashes can't show that
/// they are equal, and the stream begins again.
pub(super) fn compare(old: &[Segment], new: &[Segment], offset: u64) -> Continuation {
    // bytes that no record vouches for can't be compared
    if old.last().is_none_or(|last| last.end() < offset) {
        return Continuation::Differs;
    }
    let same = |(a, b): (&Segment, &Segment)| (a.offset, a.size, &a.sha256) == (b.offset, b.size, &b.sha256);
    if !old.iter().zip(new).all(same) {
        return Continuation::Differs;
    }
    if new.len() < old.len() { Continuation::Behind } else { Continuation::Same }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of these contents, one byte a letter.
    fn cut(parts: &[&str]) -> Vec<Segment> {
        let mut offset = 0;
        let segment = |(index, part): (usize, &&str)| {
            let size = part.len() as u64;
            offset += size;
            Segment { index: index as u32, offset: offset - size, size, rows: 1, sha256: format!("hash of {part}") }
        };
        parts.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn equal_segments_go_on_and_missing_ones_are_waited_for() {
        let old = cut(&["aaaa", "bbbb", "cccc"]);
        assert_eq!(compare(&old, &cut(&["aaaa", "bbbb", "cccc"]), 12), Continuation::Same);
        assert_eq!(compare(&old, &cut(&["aaaa", "bbbb"]), 9), Continuation::Behind);
        assert_eq!(compare(&old, &[], 1), Continuation::Behind);
    }

    #[test]
    fn other_bytes_begin_again_as_soon_as_they_are_seen() {
        let old = cut(&["aaaa", "bbbb", "cccc"]);
        assert_eq!(compare(&old, &cut(&["aaaa", "bbbX", "cccc"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &cut(&["aaaX"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &cut(&["aa", "aa", "bbbb"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &cut(&["aaaa", "bbbbcccc"]), 12), Continuation::Differs);
    }

    #[test]
    fn bytes_that_nothing_vouches_for_begin_again() {
        assert_eq!(compare(&[], &cut(&["aaaa"]), 1), Continuation::Differs);
        assert_eq!(compare(&cut(&["aaaa"]), &cut(&["aaaa", "bbbb"]), 5), Continuation::Differs);
        assert_eq!(compare(&cut(&["aaaa"]), &cut(&["aaaa"]), 4), Continuation::Same);
    }
}
