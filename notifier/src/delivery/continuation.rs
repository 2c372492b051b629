//! Compares two attempts of an export, to decide whether a file stream of the older attempt can continue with the newer
//! one.

use protocol::delivery::Segment;

/// The result of [`compare`]: whether a file stream of an older attempt can continue with a new attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// The new attempt begins with the bytes that the client received. The stream continues with the new attempt.
    Same,
    /// The new attempt has so far written only a part of the bytes that the client received, with the same content. The
    /// stream waits.
    Behind,
    /// The bytes of the new attempt differ from the bytes that the client received, or the digests of the segments
    /// can't prove that the bytes are equal. The stream restarts at the first byte.
    Differs,
}

/// Compares the segments of the older attempt (`old`) with those of the new attempt (`new`). `offset` is the number of
/// bytes that the client has received. Both slices hold the segments that begin before `offset`.
///
/// An exporter ends segments by size and by time, so two attempts may divide equal bytes into different segments. The
/// digests then can't prove that the bytes are equal, so the stream restarts.
pub(super) fn compare(old: &[Segment], new: &[Segment], offset: u64) -> Continuation {
    // received bytes that no recorded segment of the older attempt covers can't be compared
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

    /// Returns one segment for each text. The length and the digest of a segment are those of its text.
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
    fn a_stream_restarts_when_sent_bytes_have_no_recorded_digest() {
        assert_eq!(compare(&[], &segments(&["aaaa"]), 1), Continuation::Differs);
        assert_eq!(compare(&segments(&["aaaa"]), &segments(&["aaaa", "bbbb"]), 5), Continuation::Differs);
        assert_eq!(compare(&segments(&["aaaa"]), &segments(&["aaaa"]), 4), Continuation::Same);
    }
}
