//! Workbooks of Excel and LibreOffice.
//!
//! Values have types, so that nothing is guarded: a text is never a formula. Numbers of more than 15 digits are text,
//! as a workbook would round them; so are dates before 1 March 1900 and after 9999, and floats that are no numbers.
//! Moments are local times, to the millisecond. The empty text and NULL are both an empty cell.
//!
//! Rows go to temporary files as they come, and into the archive that a workbook is at the end.

mod book;
mod cell;

use serde_json::Value;

pub(super) use self::book::Book;
use super::{Bounds, Encoding, Finished, Format, FormatError, Layout, Out, Tail, Timestamps, Writer, csvw};

/// A workbook.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xlsx;

impl Format for Xlsx {
    fn name(&self) -> &str {
        "xlsx"
    }

    fn media_type(&self) -> &str {
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    }

    fn extension(&self) -> &str {
        "xlsx"
    }

    fn timestamps(&self, wanted: Timestamps) -> Timestamps {
        wanted
    }

    fn encoding(&self, layout: &Layout, bounds: &Bounds) -> Result<Encoding, FormatError> {
        let (layout, bounds) = (layout.clone(), bounds.clone());
        Ok(Encoding::whole(move |head, out| {
            let most = bounds.workbook_rows;
            Ok(Workbook { book: Book::new(&layout, bounds, head)?, rows: 0, most, out })
        }))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::document(layout, file)
    }
}

struct Workbook {
    book: Book,
    rows: u64,
    most: u64,
    out: Out,
}

impl Writer for Workbook {
    fn write(&mut self, frame: &polars::prelude::DataFrame) -> Result<(), FormatError> {
        self.rows += frame.height() as u64;
        if self.rows > self.most {
            return Err(FormatError::TooLarge {
                what: "this workbook",
                limit: format!("{} rows", self.most),
                advice: "use a filter, or the format xlsx-zip, which makes several workbooks",
            });
        }
        self.book.write(frame)
    }

    fn end(self: Box<Self>, tail: &Tail) -> Result<(), FormatError> {
        let Self { book, mut out, .. } = *self;
        book.save(tail, &mut out)
    }
}
