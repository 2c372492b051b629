//! Reads CSV and TSV files with a header. An empty field is NULL. Lines before the header that begin with `#` are
//! comments.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    rc::Rc,
    sync::Arc,
};

use csv::{ReaderBuilder, StringRecord};
use polars::prelude::{Schema, SchemaRef};
use protocol::catalog::Column;

use super::{
    super::{
        DatasetError,
        frame_builder::{FrameBuilder, dtype},
    },
    parse,
    reader::FrameHandler,
};

/// The number of rows from which the types of undeclared columns are inferred.
const INFERENCE_ROWS: usize = 1_000;
/// The byte order mark of UTF-8, which a file may begin with.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The maximum length of a record, in bytes. Without this limit, a record with an unclosed quote would contain the rest
/// of the file.
const RECORD_BYTES: u64 = 64 << 20;
/// The size of the read buffer, in bytes.
const READ_BUFFER: usize = 1 << 20;

/// Reads a file, and fails when the current record exceeds [`RECORD_BYTES`].
struct Bounded {
    file: File,
    read: u64,
    /// The offset in the file at which the last completely read record begins. The record that is being read begins
    /// after it.
    record_start: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read - self.record_start.get() > RECORD_BYTES + 2 * READ_BUFFER as u64 {
            let detail = "a record has more than 64 MiB: a quote may not be closed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let read = self.file.read(into)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// Reads the records of a CSV or TSV file.
struct Records {
    reader: csv::Reader<BufReader<Bounded>>,
    /// A second handle of the file, by which [`Self::check_end`] reads the last record again.
    file: File,
    delimiter: u8,
    /// The length of the byte order mark and of the comments before the header, in bytes.
    before: u64,
    record_start: Rc<Cell<u64>>,
}

impl Records {
    /// Starts to read a file, and skips the comments before its header.
    fn of(mut file: File, delimiter: u8) -> Result<Self, DatasetError> {
        file.rewind()?;
        let (again, record_start) = (file.try_clone()?, Rc::default());
        let mut lines =
            BufReader::with_capacity(READ_BUFFER, Bounded { file, read: 0, record_start: Rc::clone(&record_start) });
        let mut before = 0;
        if lines.fill_buf()?.starts_with(BOM) {
            lines.consume(BOM.len());
            before += BOM.len() as u64;
        }
        // only lines before the header are comments: after it, such a line is a row
        while lines.fill_buf()?.starts_with(b"#") {
            before += lines.skip_until(b'\n')? as u64;
            record_start.set(before);
        }
        let reader = ReaderBuilder::new().delimiter(delimiter).from_reader(lines);
        Ok(Self { reader, file: again, delimiter, before, record_start })
    }

    /// Reads the next record into `record`; returns false at the end of the file.
    fn next(&mut self, record: &mut StringRecord) -> Result<bool, DatasetError> {
        let more = self.reader.read_record(record).map_err(|e| match e.kind() {
            csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
                DatasetError::Garbled("a record has more than 64 MiB, or a quote is not closed")
            }
            _ => e.into(),
        })?;
        if more {
            let offset = record.position().map_or(0, csv::Position::byte);
            self.record_start.set(self.before + offset);
        } else {
            self.check_end()?;
        }
        Ok(more)
    }

    /// Returns an error if the last field has an unclosed quote, because that field may contain any number of rows.
    fn check_end(&mut self) -> Result<(), DatasetError> {
        let mut last = Vec::new();
        self.file.seek(SeekFrom::Start(self.record_start.get()))?;
        (&self.file).take(RECORD_BYTES + 2 * READ_BUFFER as u64).read_to_end(&mut last)?;
        // appending a line adds a record, unless a quote is open
        let reader = |text: Vec<u8>| {
            ReaderBuilder::new()
                .delimiter(self.delimiter)
                .has_headers(false)
                .flexible(true)
                .from_reader(io::Cursor::new(text))
                .into_byte_records()
                .count()
        };
        let with_a_line = [last.as_slice(), b"\nx\n"].concat();
        let records = reader(last);
        if reader(with_a_line) == records {
            return Err(DatasetError::Garbled("a quote is not closed"));
        }
        Ok(())
    }
}

/// Returns the columns of a file. A column without a declared type gets a type that is inferred from the first rows.
pub(super) fn schema(file: File, delimiter: u8, declared: &[Column]) -> Result<SchemaRef, DatasetError> {
    let mut records = Records::of(file, delimiter)?;
    let header = records.reader.headers()?.clone();
    let (mut rows, mut record) = (Vec::new(), StringRecord::new());
    while rows.len() < INFERENCE_ROWS && records.next(&mut record)? {
        rows.push(record.clone());
    }
    let mut schema = Schema::default();
    for (index, name) in header.iter().enumerate() {
        let known = declared.iter().find(|column| column.name == name).map(|column| dtype(column.kind));
        let inferred = || dtype(parse::infer(rows.iter().filter_map(|row| row.get(index)).filter(|t| !t.is_empty())));
        schema.insert(name.into(), known.unwrap_or_else(inferred));
    }
    Ok(Arc::new(schema))
}

/// Reads the selected columns of a file, and passes them to `handle` frame by frame. Stops and returns false when
/// `handle` returns false.
pub(super) fn read(
    file: File,
    delimiter: u8,
    columns: &[Column],
    selected: &[String],
    handle: FrameHandler<'_>,
) -> Result<bool, DatasetError> {
    let mut records = Records::of(file, delimiter)?;
    let header = records.reader.headers()?.clone();
    let mut indexes = Vec::with_capacity(selected.len());
    for name in selected {
        let index = header.iter().position(|title| title == name);
        indexes.push(index.ok_or_else(|| DatasetError::NoColumn(name.clone()))?);
    }
    let typed = selected.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).cloned();
    let mut frame = FrameBuilder::new(typed);
    let mut record = StringRecord::new();
    while records.next(&mut record)? {
        parse::push(&mut frame, |index| record.get(indexes[index]).filter(|text| !text.is_empty()))?;
        if frame.is_full() && !handle(frame.take()?)? {
            return Ok(false);
        }
    }
    if frame.is_empty() { Ok(true) } else { handle(frame.take()?) }
}
