//! Decides whether a stream can continue with the bytes of a new attempt.

use protocol::delivery::Segment;

/// The relation of a new attempt to the bytes that were sent of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// The new attempt has the same bytes up to the offset: the stream continues.
    Same,
    /// The new attempt has the same bytes so far, and has not reached the offset: the stream waits.
    Behind,
    /// The new attempt has other bytes, or equality can't be proved: the stream restarts.
    Differs,
}

/// Compares the segments of both attempts that begin before `offset`, the number of bytes already sent.
///
/// An exporter cuts segments by size and by time, so equal bytes may have different segments. Then the hashes can't
/// prove equality, and the stream restarts.
pub(super) fn compare(old: &[Segment], new: &[Segment], offset: u64) -> Continuation {
    // sent bytes without a recorded hash can't be compared
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

    /// Segments with these contents, one byte per letter.
    fn segments(parts: &[&str]) -> Vec<Segment> {
        let mut offset = 0;
        let segment = |(index, part): (usize, &&str)| {
            let size = part.len() as u64;
            offset += size;
            Segment { index: index as u32, offset: offset - size, size, rows: 1, sha256: format!("hash of {part}") }
        };
        parts.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn a_stream_continues_on_equal_segments_and_waits_for_missing_ones() {
        let old = segments(&["aaaa", "bbbb", "cccc"]);
        assert_eq!(compare(&old, &segments(&["aaaa", "bbbb", "cccc"]), 12), Continuation::Same);
        assert_eq!(compare(&old, &segments(&["aaaa", "bbbb"]), 9), Continuation::Behind);
        assert_eq!(compare(&old, &[], 1), Continuation::Behind);
    }

    #[test]
    fn a_stream_restarts_at_the_first_different_segment() {
        let old = segments(&["aaaa", "bbbb", "cccc"]);
        assert_eq!(compare(&old, &segments(&["aaaa", "bbbX", "cccc"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &segments(&["aaaX"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &segments(&["aa", "aa", "bbbb"]), 12), Continuation::Differs);
        assert_eq!(compare(&old, &segments(&["aaaa", "bbbbcccc"]), 12), Continuation::Differs);
    }

    #[test]
    fn a_stream_restarts_when_sent_bytes_have_no_recorded_hash() {
        assert_eq!(compare(&[], &segments(&["aaaa"]), 1), Continuation::Differs);
        assert_eq!(compare(&segments(&["aaaa"]), &segments(&["aaaa", "bbbb"]), 5), Continuation::Differs);
        assert_eq!(compare(&segments(&["aaaa"]), &segments(&["aaaa"]), 4), Continuation::Same);
    }
}
