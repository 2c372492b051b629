//! Reads the records of CSV files, and limits the length of a record. Errors name the line of the record.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    rc::Rc,
};

use csv::{ByteRecord, ReaderBuilder};

use super::{
    super::{super::DatasetError, kind::CsvDialect, text_file},
    header::Header,
    preamble,
    quotes::QuoteCheck,
};

/// The approximate maximum length of a record, in bytes. Without this limit, a record with an unclosed quote would
/// extend to the end of the file.
const RECORD_BYTES: u64 = 64 << 20;
/// The size of the read buffer, in bytes.
const READ_BUFFER: usize = 1 << 20;
/// The error text for a field that is not UTF-8.
pub(super) const NOT_UTF8: &str = "a text is not UTF-8: convert the file to UTF-8";
/// The error for a field with text after its closing quote.
const AFTER_QUOTE: DatasetError = DatasetError::Garbled(
    "a field goes on after its closing quote: write each quote inside of a quoted field twice, and the delimiter right \
     after the closing quote, or declare `quote = \"\"` if quotes are ordinary characters of the file",
);

/// The error for a quoted field without a closing quote.
const OPEN_QUOTE: DatasetError = DatasetError::Garbled(
    "a quote is not closed: close it, or declare `quote = \"\"` if quotes are ordinary characters of the file",
);

/// Reads a file for the CSV parser, and fails when the current record exceeds [`RECORD_BYTES`].
struct Bounded {
    file: File,
    read: u64,
    /// The file offset at which the last returned record begins. The parser is now reading the record after it.
    record_start: Rc<Cell<u64>>,
    /// The check of the quotes in all bytes read so far; None if quotes are ordinary characters.
    quotes: Option<QuoteCheck>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read - self.record_start.get() > RECORD_BYTES + 2 * READ_BUFFER as u64 {
            let detail = "a record has more than 64 MiB: a quote may not be closed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let read = self.file.read(into)?;
        self.read += read as u64;
        if let Some(quotes) = &mut self.quotes {
            quotes.pass(&into[..read]);
            if read == 0 && !into.is_empty() {
                quotes.end();
            }
        }
        Ok(read)
    }
}

/// Reads the records of a CSV or TSV file.
pub(super) struct Records {
    reader: csv::Reader<Bounded>,
    /// A second handle of the same file. It is used to find the line number of an error, and to check the last record.
    file: File,
    dialect: CsvDialect,
    /// The file offset at which the header begins.
    before: u64,
    record_start: Rc<Cell<u64>>,
    record: ByteRecord,
    /// The indexes of the fields of the current record that are empty between quotes, in ascending order.
    quoted_empty: Vec<usize>,
    /// The unique names of the columns, and the notes about renamed columns.
    pub(super) header: Header,
}

impl Records {
    /// Whether the file seems to have another delimiter than the dialect states. The exporter refuses such a file
    /// unless the catalog file declares the delimiter.
    pub(super) fn seems_to_have_another_delimiter(&self) -> bool {
        let undeclared = CsvDialect { is_declared: false, ..self.dialect };
        matches!(preamble::header_start(&self.file, undeclared), Err(DatasetError::Undeclared(_)))
    }

    /// Opens a file, and reads its header.
    ///
    /// # Errors
    /// [`DatasetError::Empty`] for a file without a header. Another error if the header can't be found or parsed, or is
    /// not UTF-8.
    pub(super) fn of(mut file: File, dialect: CsvDialect) -> Result<Self, DatasetError> {
        let before = preamble::header_start(&file, dialect)?;
        file.seek(SeekFrom::Start(before))?;
        let (again, record_start) = (file.try_clone()?, Rc::new(Cell::new(before)));
        let quotes = dialect.has_quotes.then(|| QuoteCheck::new(dialect.delimiter, before));
        let bounded = Bounded { file, read: before, record_start: Rc::clone(&record_start), quotes };
        let reader = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .quoting(dialect.has_quotes)
            .buffer_capacity(READ_BUFFER)
            .from_reader(bounded);
        let (record, header) = (ByteRecord::new(), Header::default());
        let quoted_empty = Vec::new();
        let mut records = Self { reader, file: again, dialect, before, record_start, record, quoted_empty, header };
        records.read_header()?;
        Ok(records)
    }

    fn read_header(&mut self) -> Result<(), DatasetError> {
        let read = self.reader.byte_headers().cloned();
        let titles = read.map_err(|e| self.fault(e))?;
        self.take_quoted_empty();
        if self.goes_on_after_quote() {
            return Err(self.at_line(AFTER_QUOTE));
        }
        if titles.is_empty() {
            return Err(DatasetError::Empty);
        }
        let titles: Result<Vec<_>, _> = titles.iter().map(std::str::from_utf8).collect();
        let titles = titles
            .map_err(|_| self.at_line(DatasetError::Garbled("its header is not UTF-8: convert the file to UTF-8")))?;
        self.header = Header::of(titles.iter().copied());
        Ok(())
    }

    /// Reads the next record; returns false at the end of the file.
    pub(super) fn next(&mut self) -> Result<bool, DatasetError> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|e| self.fault(e))? {
            self.check_end()?;
            return Ok(false);
        }
        let offset = self.record.position().map_or(0, csv::Position::byte);
        self.record_start.set(self.before + offset);
        self.take_quoted_empty();
        if self.goes_on_after_quote() {
            return Err(self.at_line(AFTER_QUOTE));
        }
        Ok(true)
    }

    fn take_quoted_empty(&mut self) {
        let end = self.before + self.reader.position().byte();
        if let Some(quotes) = &mut self.reader.get_mut().quotes {
            quotes.take_empty(end, &mut self.quoted_empty);
        }
    }

    /// Whether the field of the current record at this index is empty between quotes.
    pub(super) fn is_quoted_empty(&self, index: usize) -> bool {
        self.quoted_empty.binary_search(&index).is_ok()
    }

    /// Whether a field of the current record has text after its closing quote.
    fn goes_on_after_quote(&self) -> bool {
        let end = self.before + self.reader.position().byte();
        self.reader.get_ref().quotes.as_ref().is_some_and(|quotes| quotes.has_fault_before(end))
    }

    /// Whether the file ends within a quoted field.
    fn ends_in_quote(&self) -> bool {
        self.reader.get_ref().quotes.as_ref().is_some_and(|quotes| quotes.is_open_at_end)
    }

    /// Returns the content of the field of the current record at this index; None if the field is empty, with or
    /// without quotes.
    pub(super) fn field(&self, index: usize) -> Option<&[u8]> {
        self.record.get(index).filter(|field| !field.is_empty())
    }

    /// Adds the line number of the current record to an error.
    pub(super) fn at_line(&self, error: DatasetError) -> DatasetError {
        self.at_offset(self.record_start.get(), error)
    }

    fn at_offset(&self, offset: u64, error: DatasetError) -> DatasetError {
        match text_file::line_at(&self.file, offset) {
            Ok(line) => error.at_line(line),
            Err(e) => e.into(),
        }
    }

    /// Converts an error of the CSV parser to a [`DatasetError`], and adds the line number of the record. If the file
    /// can't be read, the error gets no line number.
    fn fault(&self, error: csv::Error) -> DatasetError {
        let position = error.position().or(self.record.position()).map_or(0, csv::Position::byte);
        let error = match error.into_kind() {
            // text after a closing quote may be the cause of a wrong number of fields
            csv::ErrorKind::UnequalLengths { .. } if self.goes_on_after_quote() => AFTER_QUOTE,
            csv::ErrorKind::UnequalLengths { .. } if self.ends_in_quote() => OPEN_QUOTE,
            csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
                DatasetError::Garbled("a record has more than 64 MiB, or a quote is not closed")
            }
            csv::ErrorKind::Io(e) => return e.into(),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                DatasetError::Fields { found: len, expected: expected_len }
            }
            _ => DatasetError::Garbled("a record can't be parsed"),
        };
        self.at_offset(self.before + position, error)
    }

    /// Returns an error if the last record of the file has a quote that is not closed. All rows after that quote may
    /// have become part of the record.
    fn check_end(&mut self) -> Result<(), DatasetError> {
        if !self.dialect.has_quotes {
            return Ok(());
        }
        let mut last = Vec::new();
        self.file.seek(SeekFrom::Start(self.record_start.get()))?;
        (&self.file).take(RECORD_BYTES + 2 * READ_BUFFER as u64).read_to_end(&mut last)?;
        // appending a line adds a record, unless a quote is open
        let count = |text: Vec<u8>| {
            ReaderBuilder::new()
                .delimiter(self.dialect.delimiter)
                .has_headers(false)
                .flexible(true)
                .from_reader(io::Cursor::new(text))
                .into_byte_records()
                .count()
        };
        let with_a_line = [last.as_slice(), b"\nx\n"].concat();
        let records = count(last);
        if count(with_a_line) == records {
            return Err(self.at_line(OPEN_QUOTE));
        }
        Ok(())
    }
}
