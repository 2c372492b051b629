//! Builds one workbook: its sheets, its properties and its ZIP file.

use std::{
    io::{self, Write},
    panic::resume_unwind,
};

use platform::quiet::{catch_panic, message};
use polars::prelude::DataFrame;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::cell::{self, Column};
use crate::{
    FormatError, FormatLimits, Head, Tail,
    frame_spool::FrameSpool,
    layout::{COMPLETED_AT, Layout, REQUESTED_AT, ROWS, Timestamps},
    physical::Physical,
};

/// The maximum length of the text in a cell, for error texts. XLSX counts UTF-16 code units.
const MAX_CELL_LENGTH: &str = "32767 characters";
/// The estimated size of a workbook, in bytes, above which its ZIP file uses 64-bit sizes (ZIP64). Smaller workbooks do
/// not use ZIP64, because some readers do not support it.
const ZIP64_SIZE: u64 = 3 << 30;

/// The key of a row on the sheet `Export`. The row lists the titles of the columns whose numbers, dates or times are
/// written as text.
const TEXT_COLUMNS: &str = "text_columns";

/// A workbook. Its rows are in a temporary file until the workbook is saved, because the last row may still decide that
/// all cells of a column are text.
pub(crate) struct Book {
    rows: FrameSpool,
    sheets: Sheets,
}

impl Book {
    pub(crate) fn new(layout: &Layout, limits: FormatLimits, head: &Head) -> Result<Self, FormatError> {
        Ok(Self { rows: FrameSpool::new(&limits)?, sheets: Sheets::new(layout, limits, head)? })
    }

    /// Appends the rows of a data frame to the temporary file.
    pub(crate) fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        self.sheets.choose_cells(frame)?;
        let size = self.rows.append(frame)?;
        self.sheets.check_size(size)
    }

    /// Writes the sheets, packs them into a ZIP file and writes the file to `out`.
    pub(crate) fn save(self, tail: &Tail, out: &mut (impl Write + Send)) -> Result<(), FormatError> {
        let Self { rows, mut sheets } = self;
        catch_full_disk_panic(|| {
            sheets.begin_sheet()?;
            let mut frames = rows.into_frames()?;
            while let Some(frame) = frames.next_frame()? {
                // an empty write detects early that the next stage of the pipeline has ended
                out.write(&[]).map(drop)?;
                sheets.append(&frame)?;
            }
            sheets.pack(tail, out)
        })
    }
}

/// The sheets of a workbook, whose rows the workbook library writes to temporary files.
struct Sheets {
    book: Workbook,
    titles: Vec<String>,
    columns: Vec<Column>,
    /// For each column of numbers, dates or times, whether all its cells are written as text. This is necessary if a
    /// number cell can't hold one of the values exactly. False for all other columns.
    is_text: Vec<bool>,
    /// For each column, whether its timestamps are local times, that is, without a time zone.
    local: Vec<bool>,
    timestamps: Timestamps,
    head: Head,
    limits: FormatLimits,
    /// The number of data sheets so far.
    count: usize,
    /// The index of the next row in the open sheet.
    row: u32,
    /// The number of rows so far, on all sheets.
    written: u64,
    /// The estimated size on disk of all rows so far, in bytes.
    size: u64,
}

impl Sheets {
    fn new(layout: &Layout, limits: FormatLimits, head: &Head) -> Result<Self, FormatError> {
        let mut book = Workbook::new();
        book.set_tempdir(&limits.spool_dir).map_err(failed)?;
        let created = ExcelDateTime::from_timestamp(head.requested_at.as_datetime().timestamp()).map_err(failed)?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&created));
        Ok(Self {
            book,
            titles: layout.columns.iter().map(|column| column.title.clone()).collect(),
            columns: layout.columns.iter().map(|column| Column::new(column, &layout.style)).collect(),
            is_text: vec![false; layout.columns.len()],
            local: layout.local(),
            timestamps: layout.timestamps,
            head: *head,
            limits,
            count: 0,
            row: 0,
            written: 0,
            size: 0,
        })
    }

    /// Sets `is_text` for each column of numbers, dates or times that has a value in this data frame which a number
    /// cell can't hold exactly.
    fn choose_cells(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        if frame.width() != self.columns.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.columns.len() });
        }
        let physical = Physical::of(frame);
        let cells = physical.cells("xlsx", &self.local)?;
        let mut scratch = Vec::with_capacity(64);
        for ((column, is_text), cells) in self.columns.iter().zip(&mut self.is_text).zip(&cells) {
            *is_text = *is_text || (0..physical.rows()).any(|row| column.needs_text(cells, row, &mut scratch));
        }
        Ok(())
    }

    fn check_size(&self, size: u64) -> Result<(), FormatError> {
        if size <= self.limits.max_spool_size_per_export {
            return Ok(());
        }
        Err(FormatError::TooLarge {
            subject: "this workbook",
            limit: format!("{} bytes in temporary files", self.limits.max_spool_size_per_export),
            advice: "use a filter, or the format xlsx-zip, which makes several workbooks",
        })
    }

    /// Writes rows to the sheets, and opens a new sheet whenever the open sheet is full.
    fn append(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        let physical = Physical::of(frame);
        let cells = physical.cells("xlsx", &self.local)?;
        let mut scratch = Vec::with_capacity(64);
        let written = self.written;
        self.written += physical.rows() as u64;
        let mut row = 0;
        while row < physical.rows() {
            if self.row >= self.limits.max_sheet_rows {
                self.begin_sheet()?;
            }
            let sheet = self.book.worksheet_from_index(self.count - 1).map_err(failed)?;
            while row < physical.rows() && self.row < self.limits.max_sheet_rows {
                let before = self.size;
                for (index, (column, cells)) in self.columns.iter().zip(&cells).enumerate() {
                    let at = (self.row, index as u16);
                    self.size += column
                        .write(sheet, at, cells, row, self.is_text[index], &mut scratch)
                        .map_err(|e| cell_failed(e, &self.titles[index], written + row as u64 + 1))?;
                }
                if self.size == before {
                    // a row without cells would be missing at the end of a sheet
                    self.size += cell::write_empty(sheet, self.row).map_err(failed)?;
                }
                self.row += 1;
                row += 1;
            }
            self.check_size(self.size)?;
        }
        Ok(())
    }

    fn pack(mut self, tail: &Tail, out: &mut (impl Write + Send)) -> Result<(), FormatError> {
        if matches!(self.timestamps, Timestamps::Envelope | Timestamps::Rows) {
            let rows = tail.rows.to_string();
            // a part of an archive ends before the export is complete, so the completion time in `head` has priority
            let completed_at = self.head.completed_at.unwrap_or(tail.completed_at);
            let (requested, completed) = (self.head.requested_at.to_string(), completed_at.to_string());
            let sheet = self.book.add_worksheet().set_name("Export").map_err(failed)?;
            for (row, (key, value)) in (0..).zip([(REQUESTED_AT, requested), (COMPLETED_AT, completed), (ROWS, rows)]) {
                sheet.write_string(row, 0, key).and_then(|sheet| sheet.write_string(row, 1, value)).map_err(failed)?;
            }
            let text_titles =
                self.titles.iter().zip(&self.is_text).filter_map(|(title, is_text)| is_text.then_some(title));
            for (index, title) in (1..).zip(text_titles) {
                sheet
                    .write_string(3, 0, TEXT_COLUMNS)
                    .and_then(|sheet| sheet.write_string(3, index, title))
                    .map_err(failed)?;
            }
            sheet.set_column_width(0, 24).and_then(|sheet| sheet.set_column_width(1, 26)).map_err(failed)?;
        }
        self.book.use_zip_large_file(self.size > ZIP64_SIZE);
        self.book.save_to_writer(out).map_err(failed)
    }

    fn begin_sheet(&mut self) -> Result<(), FormatError> {
        self.count += 1;
        self.row = 0;
        let name = if self.count == 1 { "Data".to_owned() } else { format!("Data {}", self.count) };
        let sheet = self.book.add_worksheet_with_constant_memory().map_err(failed)?;
        write_head(sheet, &name, &self.titles, &self.columns).map_err(failed)?;
        self.row = 1;
        Ok(())
    }
}

/// Names a sheet, and writes the column titles into its first row. The row is frozen, so that it stays visible when a
/// user scrolls.
fn write_head(sheet: &mut Worksheet, name: &str, titles: &[String], columns: &[Column]) -> Result<(), XlsxError> {
    sheet.set_name(name)?;
    for (index, column) in (0..).zip(columns) {
        sheet.set_column_width(index, column.width())?;
    }
    let bold = Format::new().set_bold();
    for (index, title) in (0..).zip(titles) {
        sheet.write_string_with_format(0, index, title, &bold)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    Ok(())
}

/// Converts a panic about a full disk to an error, and resumes any other panic. The workbook library panics when it
/// can't write its temporary file. The panic message contains the kind of the I/O error.
fn catch_full_disk_panic<T>(work: impl FnOnce() -> Result<T, FormatError>) -> Result<T, FormatError> {
    // the caller drops the book after an error, so no code uses a half-changed state
    catch_panic(|text| full_disk(text).is_some(), work).unwrap_or_else(|panic| match full_disk(message(&*panic)) {
        Some(kind) => Err(FormatError::Spool(kind.into())),
        None => resume_unwind(panic),
    })
}

/// Returns the kind of the I/O error that a panic message names; None unless the kind means a full disk.
fn full_disk(message: &str) -> Option<io::ErrorKind> {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    kinds.into_iter().find(|kind| message.contains(&format!("kind: {kind:?}")))
}

fn failed(error: XlsxError) -> FormatError {
    match error {
        XlsxError::IoError(e) => FormatError::Spool(e),
        XlsxError::TempFileError(_, e) => FormatError::Spool(e),
        other => FormatError::Workbook(other.to_string()),
    }
}

/// Returns the error for a cell of the column `title`. `row` is the number of the row in the workbook, from 1 and without
/// the titles.
fn cell_failed(error: XlsxError, title: &str, row: u64) -> FormatError {
    match error {
        XlsxError::MaxStringLengthExceeded => FormatError::Workbook(format!(
            "column `{title}`, row {row} of the workbook: a text has more than {MAX_CELL_LENGTH}, which no cell holds: use csv \
             or parquet, or leave out the column or the row"
        )),
        XlsxError::RowColumnLimitError => FormatError::Workbook(
            "a sheet has 16384 columns at most: request fewer columns, or use csv or parquet".into(),
        ),
        other => failed(other),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_panic_about_a_full_disk_is_an_error_and_any_other_panic_resumes() {
        let full = || -> Result<(), FormatError> {
            let mut writes = [28].into_iter().map(|code| -> io::Result<()> { Err(io::Error::from_raw_os_error(code)) });
            writes.try_for_each(|written| written).expect("Couldn't write to xml file");
            Ok(())
        };
        let error = catch_full_disk_panic(full).unwrap_err();
        assert!(matches!(&error, FormatError::Spool(e) if e.kind() == io::ErrorKind::StorageFull), "{error:?}");
        let other = || -> Result<(), FormatError> { panic!("something {}", "else") };
        assert!(catch_unwind(|| catch_full_disk_panic(other)).is_err());
        assert!(catch_full_disk_panic(|| Ok(1)).is_ok());
    }
}
