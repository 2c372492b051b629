//! CSV and TSV files with a header. An empty field is NULL; lines that begin with `#` before the header are comments.

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
    super::DatasetError,
    Take, Wanted,
    cells::{self, Cells},
};

/// Rows whose values tell the types of columns that nobody declared.
const LOOK_ROWS: usize = 1_000;
/// A byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A longer record is none: one quote too many would make a record of all the rest.
const RECORD_BYTES: u64 = 64 << 20;
/// Bytes that are read ahead.
const AHEAD: usize = 1 << 20;

/// A file, read no further than a record may reach.
struct Bounded {
    file: File,
    read: u64,
    /// Where the record that is being read begins, or one before it.
    begun: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read - self.begun.get() > RECORD_BYTES + 2 * AHEAD as u64 {
            let detail = "a record has more than 64 MiB: a quote may not be closed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let read = self.file.read(into)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// The records of a file.
struct Records {
    reader: csv::Reader<BufReader<Bounded>>,
    /// The same file, to look at its end again.
    file: File,
    delimiter: u8,
    /// Bytes before the header.
    before: u64,
    begun: Rc<Cell<u64>>,
}

impl Records {
    /// The file from its beginning.
    fn of(mut file: File, delimiter: u8) -> Result<Self, DatasetError> {
        file.rewind()?;
        let (again, begun) = (file.try_clone()?, Rc::default());
        let mut lines = BufReader::with_capacity(AHEAD, Bounded { file, read: 0, begun: Rc::clone(&begun) });
        let mut before = 0;
        if lines.fill_buf()?.starts_with(BOM) {
            lines.consume(BOM.len());
            before += BOM.len() as u64;
        }
        // after the header a line that begins so is a row: to take it for a comment would lose it
        while lines.fill_buf()?.starts_with(b"#") {
            before += lines.skip_until(b'\n')? as u64;
            begun.set(before);
        }
        let reader = ReaderBuilder::new().delimiter(delimiter).from_reader(lines);
        Ok(Self { reader, file: again, delimiter, before, begun })
    }

    /// The next record; false when there is none.
    fn next(&mut self, record: &mut StringRecord) -> Result<bool, DatasetError> {
        let more = self.reader.read_record(record).map_err(|e| match e.kind() {
            csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
                DatasetError::Garbled("a record has more than 64 MiB, or a quote is not closed")
            }
            _ => e.into(),
        })?;
        if more {
            let place = record.position().map_or(0, csv::Position::byte);
            self.begun.set(self.before + place);
        } else {
            self.check_end()?;
        }
        Ok(more)
    }

    /// Refuses a file whose last field has a quote that is never closed: it may hold any number of rows, as its text.
    fn check_end(&mut self) -> Result<(), DatasetError> {
        let mut last = Vec::new();
        self.file.seek(SeekFrom::Start(self.begun.get()))?;
        (&self.file).take(RECORD_BYTES + 2 * AHEAD as u64).read_to_end(&mut last)?;
        // one more line is one more record, unless it is within the quotes
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

/// The columns of a file and their types.
pub(super) fn look(file: File, delimiter: u8, declared: &[Column]) -> Result<SchemaRef, DatasetError> {
    let mut records = Records::of(file, delimiter)?;
    let header = records.reader.headers()?.clone();
    let (mut rows, mut record) = (Vec::new(), StringRecord::new());
    while rows.len() < LOOK_ROWS && records.next(&mut record)? {
        rows.push(record.clone());
    }
    let mut schema = Schema::default();
    for (index, name) in header.iter().enumerate() {
        let known = declared.iter().find(|column| column.name == name).map(super::dtype);
        let shown =
            || cells::dtype(cells::infer(rows.iter().filter_map(|row| row.get(index)).filter(|t| !t.is_empty())));
        schema.insert(name.into(), known.unwrap_or_else(shown));
    }
    Ok(Arc::new(schema))
}

/// Gives all rows of a file, frame by frame. False: nobody wants more.
pub(super) fn each(
    file: File,
    delimiter: u8,
    columns: &[Column],
    wanted: &Wanted<'_>,
    take: Take<'_>,
) -> Result<bool, DatasetError> {
    let mut records = Records::of(file, delimiter)?;
    let header = records.reader.headers()?.clone();
    let mut places = Vec::with_capacity(wanted.columns.len());
    for name in wanted.columns {
        let place = header.iter().position(|title| title == name);
        places.push(place.ok_or_else(|| DatasetError::NoColumn(name.clone()))?);
    }
    let typed = wanted.columns.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).cloned();
    let mut cells = Cells::new(typed.collect());
    let mut record = StringRecord::new();
    while records.next(&mut record)? {
        cells.push(|index| record.get(places[index]).filter(|text| !text.is_empty()))?;
        if cells.is_full() && !take(cells.take()?)? {
            return Ok(false);
        }
    }
    if cells.is_empty() { Ok(true) } else { take(cells.take()?) }
}
