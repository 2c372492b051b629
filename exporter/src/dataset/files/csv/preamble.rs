//! Finds the header of a CSV file after its byte order mark and its comments. Refuses a file that seems to have another
//! delimiter than the expected one.

use std::{fs::File, io::Cursor, os::unix::fs::FileExt};

use csv::ReaderBuilder;

use super::super::{
    super::DatasetError,
    kind::{Comments, CsvDialect},
    text_file,
};

/// The number of bytes that are read to examine the header and the first row.
const SAMPLE_BYTES: usize = 64 << 10;
/// The delimiters that are recognized in a file, each with its spelling in a catalog file.
const DELIMITERS: [(u8, &str); 4] = [(b',', ","), (b';', ";"), (b'\t', "\\t"), (b'|', "|")];

/// Returns the offset at which the header of a file begins.
///
/// # Errors
///
/// When the file can't be read, or its first bytes belong to another file format or encoding. Also when the catalog
/// file must declare the delimiter, because the file seems to have another one. Also when the catalog file must declare
/// the comments, because the last comment may be the header.
pub(super) fn header_start(file: &File, dialect: CsvDialect) -> Result<u64, DatasetError> {
    let mut at = text_file::start(file)?;
    let mut comment = None;
    while dialect.comments != Comments::None && byte_at(file, at)? == Some(b'#') {
        comment = Some(at);
        at = next_line(file, at)?;
    }
    if let Some(comment) = comment.filter(|_| dialect.comments == Comments::Detected)
        && is_header(file, comment, at, dialect)?
    {
        at = comment;
    }
    if !dialect.is_declared {
        check_delimiter(&sample(file, at)?, dialect)?;
    }
    Ok(at)
}

/// Whether the last leading line that begins with `#` is the header of the file, by the rules of
/// [`Comments::Detected`]. `comment` is the offset of this line, and `rows` is the offset of the line below.
///
/// # Errors
///
/// When the file can't be read, or the rules can't decide whether the line is a comment or the header.
fn is_header(file: &File, comment: u64, rows: u64, dialect: CsvDialect) -> Result<bool, DatasetError> {
    let line = sample(file, comment)?;
    let line = &line[..line.len().min(usize::try_from(rows - comment).unwrap_or(usize::MAX))];
    let fields = field_counts(line, dialect, 1);
    let following = field_counts(&sample(file, rows)?, dialect, 1);
    if following.is_empty() {
        // without a next line, a line with several fields is the header
        return Ok(fields.first().is_some_and(|fields| *fields > 1));
    }
    if fields != following {
        return Ok(false);
    }
    let has_space = line.get(1).is_none_or(u8::is_ascii_whitespace);
    match (has_space, fields[0]) {
        (false, _) => Ok(true),
        (true, 1) => Ok(false),
        (true, _) => Err(DatasetError::Undeclared(
            "its last line with `#` has as many fields as the next line: declare `comment = \"#\"` if that line is a \
             comment, or `comment = \"\"` if it is the header"
                .into(),
        )),
    }
}

/// Returns an error if the file seems to have another delimiter than `dialect`. This is the case if the delimiter of
/// `dialect` gives the header only one field, and another delimiter gives the header and the first row the same number
/// of several fields. `sample` has the first lines of the file, from the header on.
fn check_delimiter(sample: &[u8], dialect: CsvDialect) -> Result<(), DatasetError> {
    if field_counts(sample, dialect, 1) != [1] {
        return Ok(());
    }
    for (other, shown) in DELIMITERS.iter().filter(|(other, _)| *other != dialect.delimiter) {
        let counts = field_counts(sample, CsvDialect { delimiter: *other, ..dialect }, 2);
        if counts.first().is_some_and(|first| *first > 1 && counts.iter().all(|count| count == first)) {
            let own = DELIMITERS.iter().find(|(known, _)| *known == dialect.delimiter).map_or(",", |(_, shown)| shown);
            return Err(DatasetError::Undeclared(format!(
                "it looks as if its fields were separated by `{shown}`: declare `delimiter = \"{shown}\"`, or \
                 `delimiter = \"{own}\"` if it has one column"
            )));
        }
    }
    Ok(())
}

/// Returns the number of fields of each of the first `records` records in `bytes`. The header is one of these records.
fn field_counts(bytes: &[u8], dialect: CsvDialect, records: usize) -> Vec<usize> {
    let mut reader = ReaderBuilder::new()
        .delimiter(dialect.delimiter)
        .quoting(dialect.has_quotes)
        .has_headers(false)
        .flexible(true)
        .from_reader(Cursor::new(bytes));
    reader.byte_records().take(records).flatten().map(|record| record.len()).collect()
}

/// Reads up to [`SAMPLE_BYTES`] bytes from the offset `at` on, and returns the complete lines among them. If not even
/// the first line is complete, returns its beginning.
fn sample(file: &File, at: u64) -> Result<Vec<u8>, DatasetError> {
    let mut bytes = vec![0; SAMPLE_BYTES];
    let read = text_file::read_at(file, &mut bytes, at)?;
    bytes.truncate(read);
    if read == SAMPLE_BYTES
        && let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n')
    {
        bytes.truncate(end + 1);
    }
    Ok(bytes)
}

fn byte_at(file: &File, at: u64) -> Result<Option<u8>, DatasetError> {
    let mut byte = [0];
    Ok((file.read_at(&mut byte, at)? == 1).then_some(byte[0]))
}

/// Returns the offset at which the next line after the offset `at` begins. On the last line, returns the end of the
/// file.
fn next_line(file: &File, mut at: u64) -> Result<u64, DatasetError> {
    let mut bytes = vec![0; SAMPLE_BYTES];
    loop {
        let read = text_file::read_at(file, &mut bytes, at)?;
        if let Some(end) = bytes[..read].iter().position(|byte| *byte == b'\n') {
            return Ok(at + end as u64 + 1);
        }
        at += read as u64;
        if read == 0 {
            return Ok(at);
        }
    }
}
