//! Writes workbooks for Excel and LibreOffice (Office Open XML).
//!
//! Cells have types, so a text cell is never a formula. Each column has one kind of cell. If a single value of the
//! column can't be a number cell, all cells of the column are text cells. A number cell can't hold numbers of more than
//! 15 digits, dates before 1900-03-01 or after 9999-12-31, timestamps or times of day with a fraction of a millisecond,
//! or floats that are not finite. In number cells, timestamps are in the time zone of the template, or in UTC if the
//! template has none. In text cells, timestamps are in UTC. Both the empty text and NULL are written as an empty cell.
//!
//! The exporter spools the rows, and then passes them to the workbook library. The library writes the rows to temporary
//! files, and packs these files into the workbook.

mod book;
mod cell;

use polars::prelude::DataFrame;

pub(super) use self::book::Book;
use super::{Compression, Encoding, Format, FormatDescription, FormatError, FormatLimits, Output, Tail, Writer};
use crate::layout::Layout;

/// The format `xlsx`, one workbook.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xlsx;

impl Format for Xlsx {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: "xlsx",
            media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            extension: "xlsx",
            compressions: &Compression::NONE,
            compresses_itself: false,
            has_timestamps: true,
            is_workbook: true,
        }
    }

    fn encoding(&self, layout: &Layout, _: Compression, limits: &FormatLimits) -> Result<Encoding, FormatError> {
        let (layout, limits) = (layout.clone(), limits.clone());
        Ok(Encoding::sequential(move |head, output| {
            let max_rows = limits.max_workbook_rows;
            Ok(Workbook { book: Book::new(&layout, limits, head)?, rows: 0, max_rows, output })
        }))
    }
}

struct Workbook {
    book: Book,
    rows: u64,
    max_rows: u64,
    output: Output,
}

impl Writer for Workbook {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        self.rows += frame.height() as u64;
        if self.rows > self.max_rows {
            return Err(FormatError::TooLarge {
                subject: "this workbook",
                limit: format!("{} rows", self.max_rows),
                advice: "use a filter, or the format xlsx-zip, which makes several workbooks",
            });
        }
        self.book.write(frame)
    }

    fn end(self: Box<Self>, tail: &Tail) -> Result<(), FormatError> {
        let Self { book, mut output, .. } = *self;
        book.save(tail, &mut output)
    }
}
