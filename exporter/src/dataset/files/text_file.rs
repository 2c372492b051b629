//! Finds positions in text files: the offset of the first character, which may follow a byte order mark, and line
//! numbers for error messages. Recognizes files that are not text.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::super::DatasetError;

/// The byte order mark of UTF-8, with which a file may begin.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The size of the read buffer for counting lines, in bytes.
const BUFFER: usize = 1 << 18;

/// The first bytes of files that are not text. Each item has these bytes, and the advice to the operator about such a
/// file.
const BINARY: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "it is compressed with gzip: decompress it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: decompress it"),
    (b"\xfd7zXZ", "it is compressed with xz: decompress it"),
    (b"PK\x03\x04", "it is a ZIP archive or a workbook: extract its table as a text file"),
    (b"PAR1\x15", "it is a Parquet file: declare `format = \"parquet\"`"),
    (b"ARROW1\0\0", "it is an Arrow file: declare `format = \"arrow\"`"),
];

/// Returns the offset of the first character of a file, in bytes. The offset is 0, or 3 after a byte order mark of
/// UTF-8.
///
/// # Errors
/// When the file can't be read, has the byte order mark of UTF-16 or UTF-32, is compressed, or is in a binary format.
pub(super) fn start(file: &File) -> Result<u64, DatasetError> {
    let mut begin = [0; 8];
    let read = read_at(file, &mut begin, 0)?;
    if let Some((_, about)) = BINARY.iter().find(|(magic, _)| begin[..read].starts_with(magic)) {
        return Err(DatasetError::Undeclared((*about).into()));
    }
    match &begin[..read] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(DatasetError::Undeclared(
            "it is UTF-16 or UTF-32, and text files must be UTF-8: convert it, for example with `iconv -f UTF-16 -t \
                 UTF-8` or as \"CSV UTF-8\" in a spreadsheet"
                .into(),
        )),
        begin if begin.starts_with(BOM) => Ok(BOM.len() as u64),
        _ => Ok(0),
    }
}

/// Fills the buffer `into` with the bytes of a file from the offset `at` on. Returns the number of bytes that were
/// read, which is less than the size of the buffer only at the end of the file.
pub(super) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Returns the number, from 1, of the line on which a record begins. `offset` is the file offset of the record. Skips
/// blank lines at this offset, because the record begins after them.
pub(super) fn line_at(file: &File, offset: u64) -> io::Result<u64> {
    let (mut feeds, mut returns, mut at) = (0, 0, 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = read_at(file, &mut buffer, at)?;
        let before = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(read);
        let blank = buffer[before..read].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        for byte in &buffer[..before + blank] {
            match byte {
                b'\n' => feeds += 1,
                b'\r' => returns += 1,
                _ => {}
            }
        }
        at += read as u64;
        if before + blank < read || read == 0 {
            break;
        }
    }
    // old programs end lines with only a carriage return
    Ok(1 + if feeds == 0 { returns } else { feeds })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_named() {
        for (bytes, begin) in [
            (&b"\x1f\x8b\x08\0"[..], Err("gzip: decompress it")),
            (b"\x28\xb5\x2f\xfd\0", Err("zstd: decompress it")),
            (b"PK\x03\x04", Err("a workbook")),
            (b"PAR1\x15\0", Err("`format = \"parquet\"`")),
            (b"ARROW1\0\0", Err("`format = \"arrow\"`")),
            (b"\xff\xfea\0", Err("UTF-16")),
            (b"PAR1,ARROW1\n", Ok(0)),
            (b"\xef\xbb\xbfa\n", Ok(3)),
            (b"", Ok(0)),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            match (start(&file), begin) {
                (Ok(at), Ok(expected)) => assert_eq!(at, expected),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{bytes:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for (text, record, line) in [
            ("a\nb\nc", "c", 3),
            ("a\r\nb\r\nc", "c", 3),
            ("a\rb\rc", "c", 3),
            ("a\n\n\nc", "\n\nc", 4),
            ("a\r\nb", "\nb", 2),
            ("a", "a", 1),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(line_at(&file, text.find(record).unwrap() as u64).unwrap(), line, "{text:?}");
        }
    }
}
