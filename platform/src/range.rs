//! Parses the HTTP header `Range` (RFC 9110, section 14) with one byte range.

use std::ops::Range;

/// The part of a file that a request selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedRange {
    /// The whole file, because the request has no `Range` header or a header that the server ignores.
    Whole,
    /// A byte range that is not empty and lies within the file.
    Part(Range<u64>),
    /// A range outside the file, which the server answers with 416.
    Unsatisfiable,
}

/// Parses a `Range` header for a file of `size` bytes.
///
/// Several ranges, units other than bytes and malformed headers select the whole file, as the RFC allows.
#[must_use]
pub fn parse(header: Option<&str>, size: u64) -> RequestedRange {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return RequestedRange::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return RequestedRange::Whole };
    let part = match (Position::parse(first), Position::parse(last)) {
        (Position::Absent, Position::At(suffix)) => size.saturating_sub(suffix)..size,
        (Position::At(first), Position::Absent) => first..size,
        (Position::At(first), Position::At(last)) if first <= last => first..last.saturating_add(1).min(size),
        _ => return RequestedRange::Whole,
    };
    if part.is_empty() { RequestedRange::Unsatisfiable } else { RequestedRange::Part(part) }
}

/// One end of a byte range in the header: an empty text, a number, or another text.
enum Position {
    Absent,
    At(u64),
    Malformed,
}

impl Position {
    /// Parses a text of digits. A number above 2^64 - 1 becomes `u64::MAX`, which is beyond the end of every file.
    fn parse(text: &str) -> Self {
        if text.is_empty() {
            Self::Absent
        } else if text.bytes().all(|b| b.is_ascii_digit()) {
            Self::At(text.parse().unwrap_or(u64::MAX))
        } else {
            Self::Malformed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_limited_to_the_file() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=2-", 2..10),
            ("bytes=2-99", 2..10),
            ("bytes=9-9", 9..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("bytes=0-99999999999999999999999", 0..10),
            (" bytes=1-1 ", 1..2),
        ] {
            assert_eq!(parse(Some(header), 10), RequestedRange::Part(expected), "{header}");
        }
    }

    #[test]
    fn a_range_outside_the_file_cannot_be_satisfied() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(parse(Some(header), 10), RequestedRange::Unsatisfiable, "{header}");
        }
        for header in ["bytes=0-", "bytes=-5"] {
            assert_eq!(parse(Some(header), 0), RequestedRange::Unsatisfiable, "{header} of an empty file");
        }
    }

    #[test]
    fn any_other_header_is_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=+1-2"]
        {
            assert_eq!(parse(Some(header), 10), RequestedRange::Whole, "{header}");
        }
        assert_eq!(parse(None, 10), RequestedRange::Whole);
    }
}
