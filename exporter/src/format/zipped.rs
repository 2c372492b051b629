//! An archive of parts that each suit a spreadsheet: `xlsx-zip` and `csv-zip`, for more rows than one file should have.
//!
//! Parts go into the archive as they fill up, so that the file begins early, and only one workbook at a time is on disk.
//! The timestamps stand in a last entry of their own, unless the template has them in the rows.

use std::{io::Write, sync::Arc};

use polars::prelude::DataFrame;
use serde_json::Value;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions, write::StreamWriter};

use super::{
    Bounds, COMPLETED_AT, Csv, Encoder, Encoding, Finished, Format, FormatError, Head, Layout, Out, REQUESTED_AT, ROWS,
    Tail, Timestamps, Writer, csvw, xlsx::Book,
};

/// Several workbooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct XlsxZip;

/// Several CSV files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvZip;

/// What both say.
macro_rules! archive {
    ($format:ty, $name:literal, $part:expr) => {
        impl Format for $format {
            fn name(&self) -> &str {
                $name
            }

            fn media_type(&self) -> &str {
                "application/zip"
            }

            fn extension(&self) -> &str {
                "zip"
            }

            fn timestamps(&self, wanted: Timestamps) -> Timestamps {
                wanted
            }

            fn encoding(&self, layout: &Layout, bounds: &Bounds) -> Result<Encoding, FormatError> {
                archive(layout, bounds, $part)
            }

            fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
                csvw::document(layout, file)
            }
        }
    };
}
archive!(XlsxZip, "xlsx-zip", Kind::Xlsx);
archive!(CsvZip, "csv-zip", Kind::Csv);

/// Text is packed in pieces of this size: what a packer makes of bytes depends on the pieces in which they come.
const PIECE: usize = 64 << 10;

#[derive(Clone, Copy)]
enum Kind {
    Xlsx,
    Csv,
}

fn archive(layout: &Layout, bounds: &Bounds, kind: Kind) -> Result<Encoding, FormatError> {
    let envelope = layout.timestamps == Timestamps::Envelope;
    let mut layout = layout.clone();
    if envelope {
        // for the whole archive they stand in an entry of their own
        layout.timestamps = Timestamps::Sidecar;
    }
    let encoder = match (kind, Csv.encoding(&layout, bounds)?) {
        (Kind::Csv, Encoding::Frames(encoder)) => Some(encoder),
        _ => None,
    };
    let bounds = bounds.clone();
    Ok(Encoding::whole(move |head, out| {
        let zip = ZipWriter::new_stream(out);
        Ok(Archive {
            zip,
            layout,
            bounds,
            head: *head,
            envelope,
            encoder,
            part: None,
            parts: 0,
            rows: 0,
            text: Vec::new(),
        })
    }))
}

struct Archive {
    zip: ZipWriter<StreamWriter<Out>>,
    layout: Layout,
    bounds: Bounds,
    head: Head,
    envelope: bool,
    /// Of CSV parts; None for workbooks.
    encoder: Option<Arc<dyn Encoder>>,
    part: Option<Part>,
    parts: u32,
    /// Rows of the open part.
    rows: u64,
    /// Text of the open part that is less than a piece.
    text: Vec<u8>,
}

enum Part {
    Csv,
    Xlsx(Box<Book>),
}

impl Archive {
    /// Begins the next part.
    fn open(&mut self) -> Result<Part, FormatError> {
        self.parts += 1;
        self.rows = 0;
        Ok(match &self.encoder {
            None => Part::Xlsx(Box::new(Book::new(&self.layout, self.bounds.clone(), &self.head)?)),
            Some(encoder) => {
                self.zip.start_file(format!("part-{:04}.csv", self.parts), options(6)).map_err(failed)?;
                encoder.begin(&self.head, &mut self.text);
                Part::Csv
            }
        })
    }

    fn close(&mut self, tail: &Tail) -> Result<(), FormatError> {
        match self.part.take() {
            Some(Part::Xlsx(book)) => {
                // what is inside a workbook is compressed already
                self.zip.start_file(format!("part-{:04}.xlsx", self.parts), options(1)).map_err(failed)?;
                book.save(tail, &mut self.zip)
            }
            Some(Part::Csv) => {
                self.zip.write_all(&self.text)?;
                self.text.clear();
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn take(&mut self, rows: &DataFrame) -> Result<(), FormatError> {
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.open()?,
        };
        self.rows += rows.height() as u64;
        match (&mut part, &self.encoder) {
            (Part::Xlsx(book), _) => book.write(rows)?,
            (Part::Csv, Some(encoder)) => {
                encoder.encode(rows, &mut self.text)?;
                let whole = self.text.len() / PIECE * PIECE;
                for piece in self.text[..whole].chunks(PIECE) {
                    self.zip.write_all(piece)?;
                }
                self.text.drain(..whole);
            }
            (Part::Csv, None) => {}
        }
        self.part = Some(part);
        Ok(())
    }
}

impl Writer for Archive {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        let mut at = 0;
        while at < frame.height() {
            if self.part.is_some() && self.rows >= self.bounds.part_rows {
                self.close(&Tail { rows: self.rows, completed_at: self.head.requested_at })?;
            }
            let room = if self.part.is_some() { self.bounds.part_rows - self.rows } else { self.bounds.part_rows };
            let rows = frame.slice(at as i64, usize::try_from(room).unwrap_or(usize::MAX));
            at += rows.height();
            self.take(&rows)?;
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, tail: &Tail) -> Result<(), FormatError> {
        if self.parts == 0 {
            // a header at least
            self.part = Some(self.open()?);
        }
        self.close(tail)?;
        if self.envelope {
            self.zip.start_file("export.csv", options(6)).map_err(failed)?;
            let (from, to) = (self.head.requested_at, tail.completed_at);
            write!(self.zip, "key,value\n{REQUESTED_AT},{from}\n{COMPLETED_AT},{to}\n{ROWS},{}\n", tail.rows)?;
        }
        self.zip.finish().map_err(failed)?;
        Ok(())
    }
}

/// A part may be larger than 4 GiB, and has no time of its own, so that the same rows are the same archive.
fn options(level: i64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level))
        .last_modified_time(zip::DateTime::default())
        .large_file(true)
}

fn failed(error: zip::result::ZipError) -> FormatError {
    match error {
        zip::result::ZipError::Io(e) => FormatError::Spool(e),
        other => FormatError::Workbook(other.to_string()),
    }
}
