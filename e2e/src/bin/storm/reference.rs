//! The file of a request as it was before the storm, with which each later file is compared.

use std::io::{Cursor, Read};

use bytes::Bytes;
use zip::ZipArchive;

/// The form of a timestamp up to its seconds: `d` is a digit. A fraction and `Z` follow.
const TIMESTAMP: &[u8] = b"dddd-dd-ddTdd:dd:dd";
/// The number of rows at the top of a `spreadsheet` file that state its times.
const ROWS_OF_TIMES: usize = 2;

/// Where a file states its times, which differ between two exports of the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// The file states no times, so the same request gives the same bytes.
    None,
    /// The file states its timestamps in rows above the header.
    InRows,
    /// The file states its timestamps in its metadata, and has no other timestamps as text.
    InMetadata,
    /// The compressed parts of a workbook state the timestamps, as in [`Times::InMetadata`].
    InWorkbook,
}

pub(crate) struct Reference {
    pub(crate) bytes: Bytes,
    sha256: String,
    times: Times,
    /// The file without its times; None for [`Times::None`].
    content: Option<Vec<u8>>,
}

impl Reference {
    /// # Errors
    /// When the file does not have its times where it should.
    pub(crate) fn new(bytes: Bytes, times: Times) -> Result<Self, String> {
        let content = match times {
            Times::None => None,
            _ => Some(without_times(&bytes, times)?),
        };
        Ok(Self { sha256: testkit::sha256(&bytes), bytes, times, content })
    }

    /// Whether each later file has exactly the bytes of this one, so that each part can be compared when it arrives.
    pub(crate) fn is_exact(&self) -> bool {
        self.content.is_none()
    }

    /// Whether a later file may have this part at this offset. True for every part if the file states its times.
    pub(crate) fn has(&self, offset: u64, part: &[u8]) -> bool {
        let from = usize::try_from(offset).ok();
        !self.is_exact() || from.and_then(|from| self.bytes.get(from..from + part.len())) == Some(part)
    }

    /// Compares size and digest of a later file, which are known before its bytes.
    pub(crate) fn may_have(&self, size: u64, sha256: &str) -> bool {
        !self.is_exact() || (size, sha256) == (self.bytes.len() as u64, &self.sha256)
    }

    /// Compares a later file whose bytes were kept because it differs in its times. `sha256` is the digest that was
    /// announced for the file.
    ///
    /// # Errors
    /// The difference.
    pub(crate) fn compare(&self, file: &[u8], sha256: &str) -> Result<(), String> {
        let Some(content) = &self.content else { return Ok(()) };
        let digest = testkit::sha256(file);
        if digest != sha256 {
            return Err(format!("{} bytes with the digest {digest}, announced as {sha256}", file.len()));
        }
        let found = without_times(file, self.times)?;
        let difference = found.iter().zip(content).position(|(one, other)| one != other);
        match difference.or((found.len() != content.len()).then_some(found.len().min(content.len()))) {
            None => Ok(()),
            Some(at) => Err(format!("the content differs from byte {at} on, of {}", content.len())),
        }
    }
}

fn without_times(file: &[u8], times: Times) -> Result<Vec<u8>, String> {
    match times {
        Times::None => Ok(file.to_vec()),
        Times::InRows => {
            let mut rest = file;
            for _ in 0..ROWS_OF_TIMES {
                let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a file of less than two rows")?;
                let row = String::from_utf8_lossy(&rest[..end]);
                if !row.contains("export_requested_at") && !row.contains("export_completed_at") {
                    return Err(format!("the row {row:?} states no time"));
                }
                rest = &rest[end + 1..];
            }
            Ok(rest.to_vec())
        }
        Times::InMetadata => Ok(without_timestamps(file)),
        Times::InWorkbook => {
            let damaged = |e: &dyn std::fmt::Display| format!("no workbook: {e}");
            let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|e| damaged(&e))?;
            let mut content = vec![];
            for index in 0..archive.len() {
                let mut part = archive.by_index(index).map_err(|e| damaged(&e))?;
                content.extend_from_slice(part.name().map_err(|e| damaged(&e))?.as_bytes());
                let mut bytes = vec![];
                part.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
                content.extend(without_timestamps(&bytes));
            }
            Ok(content)
        }
    }
}

/// The bytes without the timestamps that are text.
fn without_timestamps(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        match timestamp(rest) {
            Some(length) => rest = &rest[length..],
            None => {
                content.push(*first);
                rest = &rest[1..];
            }
        }
    }
    content
}

/// The length of the timestamp with which these bytes begin.
fn timestamp(bytes: &[u8]) -> Option<usize> {
    let start = bytes.get(..TIMESTAMP.len())?;
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if !start.iter().zip(TIMESTAMP).all(fits) {
        return None;
    }
    let fraction = bytes[TIMESTAMP.len()..].iter().take_while(|byte| **byte == b'.' || byte.is_ascii_digit()).count();
    let length = TIMESTAMP.len() + fraction;
    (bytes.get(length) == Some(&b'Z')).then_some(length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(times: Times, one: &'static str, other: &str) -> Result<(), String> {
        let reference = Reference::new(Bytes::from_static(one.as_bytes()), times).unwrap();
        reference.compare(other.as_bytes(), &testkit::sha256(other.as_bytes()))
    }

    #[test]
    fn files_that_differ_in_their_times_alone_are_equal() {
        let (one, other) = ("a 2026-11-22T15:26:01.123Z b", "a 2027-01-02T00:00:00.000Z b");
        assert_eq!(compare(Times::InMetadata, one, other), Ok(()));
        assert!(compare(Times::InMetadata, one, "a 2027-01-02T00:00:00.000Z c").unwrap_err().contains("byte 3"));
        assert!(compare(Times::InMetadata, one, "a ").is_err());
        let rows = "export_requested_at;1\nexport_completed_at;2\nx;2026-11-22T15:26:01Z\n";
        let later = "export_requested_at;3\nexport_completed_at;4\nx;2026-11-22T15:26:01Z\n";
        assert_eq!(compare(Times::InRows, rows, later), Ok(()));
        assert!(compare(Times::InRows, rows, &later.replace("22T", "23T")).is_err());
        assert!(Reference::new(Bytes::from_static(b"x\ny\nz\n"), Times::InRows).is_err());
    }

    #[test]
    fn a_wrong_digest_and_a_wrong_part_of_an_exact_file_are_found() {
        let dated = Reference::new(Bytes::from_static(b"a 2026-11-22T15:26:01.123Z b"), Times::InMetadata).unwrap();
        assert!(dated.compare(&dated.bytes, "0").unwrap_err().contains("announced as 0"));
        let exact = Reference::new(Bytes::from_static(b"abc"), Times::None).unwrap();
        assert!(exact.has(1, b"bc") && !exact.has(1, b"bd") && !exact.has(2, b"cd"));
        assert!(exact.may_have(3, &testkit::sha256(b"abc")) && !exact.may_have(3, &testkit::sha256(b"abd")));
    }
}
