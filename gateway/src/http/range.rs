//! One byte range of a file (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` header asks for, given the file's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: no header, or one that may be ignored.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges, other units and malformed ones are ignored, as the RFC allows.
pub(super) fn parse(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    // digits beyond any file's size are as good as the largest number there is
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (first, last) {
        ("", suffix) => match number(suffix) {
            Some(0) => return Wanted::Unsatisfiable,
            Some(count) => size.saturating_sub(count)..size,
            None => return Wanted::All,
        },
        (first, "") => match number(first) {
            Some(first) => first..size,
            None => return Wanted::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Wanted::All,
        },
    };
    if range.start >= size { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |header, expected| assert_eq!(parse(Some(header), 100), Wanted::Part(expected), "{header}");
        part("bytes=0-0", 0..1);
        part("bytes=10-", 10..100);
        part("bytes=-10", 90..100);
        part("bytes=-1000", 0..100);
        part("bytes=90-1000", 90..100);
        for ignored in ["bytes=", "bytes=a-b", "bytes=5-4", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=+1-2"] {
            assert_eq!(parse(Some(ignored), 100), Wanted::All, "{ignored}");
        }
        for beyond in ["bytes=99999999999999999999-", "bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(parse(Some(beyond), 100), Wanted::Unsatisfiable, "{beyond}");
        }
        assert_eq!(parse(None, 100), Wanted::All);
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }
}
