//! ZIP archives, `xlsx-zip` and `csv-zip`, for exports with more rows than a sheet holds. A file in the archive is
//! called a part, and each part fits into one sheet.
//!
//! The writer adds a part to the archive as soon as the part is full, so that no more than one workbook is on disk. If
//! the template places the timestamps outside the table ([`Timestamps::Envelope`]), the last entry of the archive,
//! `export.csv`, states the timestamps.

use std::{io::Write, sync::Arc};

use polars::prelude::DataFrame;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions, write::StreamWriter};

use super::{
    Compression, Csv, Encoder, Encoding, Format, FormatDescription, FormatError, FormatLimits, Head, Output, Tail,
    Writer, xlsx::Book,
};
use crate::layout::{COMPLETED_AT, Layout, REQUESTED_AT, ROWS, Timestamps};

/// The format `xlsx-zip`, an archive of workbooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct XlsxZip;

/// The format `csv-zip`, an archive of CSV files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvZip;

impl Format for XlsxZip {
    fn info(&self) -> &FormatDescription {
        const INFO: FormatDescription = description("xlsx-zip");
        &INFO
    }

    fn encoding(&self, layout: &Layout, _: Compression, limits: &FormatLimits) -> Result<Encoding, FormatError> {
        archive(layout, limits, Kind::Xlsx)
    }
}

impl Format for CsvZip {
    fn info(&self) -> &FormatDescription {
        const INFO: FormatDescription = description("csv-zip");
        &INFO
    }

    fn encoding(&self, layout: &Layout, _: Compression, limits: &FormatLimits) -> Result<Encoding, FormatError> {
        archive(layout, limits, Kind::Csv)
    }
}

const fn description(name: &'static str) -> FormatDescription {
    FormatDescription {
        name,
        media_type: "application/zip",
        extension: "zip",
        compressions: &Compression::NONE,
        compresses_itself: false,
        has_timestamps: true,
        is_workbook: false,
    }
}

/// The number of bytes of CSV text that the writer compresses at once. This number is fixed, so that the bytes of the
/// archive do not depend on how the rows are split into data frames.
const BLOCK: usize = 64 << 10;

#[derive(Clone, Copy)]
enum Kind {
    Xlsx,
    Csv,
}

fn archive(layout: &Layout, limits: &FormatLimits, kind: Kind) -> Result<Encoding, FormatError> {
    let envelope = layout.timestamps == Timestamps::Envelope;
    let mut layout = layout.clone();
    if envelope {
        // a separate entry states the timestamps of the whole archive
        layout.timestamps = Timestamps::Sidecar;
    }
    let encoder = match (kind, Csv.encoding(&layout, Compression::None, limits)?) {
        (Kind::Csv, Encoding::Parallel(encoder)) => Some(encoder),
        _ => None,
    };
    let limits = limits.clone();
    Ok(Encoding::sequential(move |head, output| {
        let zip = ZipWriter::new_stream(output);
        Ok(Archive {
            zip,
            layout,
            limits,
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
    zip: ZipWriter<StreamWriter<Output>>,
    layout: Layout,
    limits: FormatLimits,
    head: Head,
    envelope: bool,
    /// The encoder of CSV parts; None if the parts are workbooks.
    encoder: Option<Arc<dyn Encoder>>,
    part: Option<Part>,
    parts: u32,
    /// The number of rows in the open part of the archive.
    rows: u64,
    /// The text of the open CSV part that is not compressed yet. When a call of the writer returns, this text has fewer
    /// than [`BLOCK`] bytes.
    text: Vec<u8>,
}

enum Part {
    Csv,
    Xlsx(Box<Book>),
}

impl Archive {
    /// Opens the next part of the archive, which is a workbook or the ZIP entry of a CSV file.
    fn open(&mut self) -> Result<Part, FormatError> {
        self.parts += 1;
        self.rows = 0;
        Ok(match &self.encoder {
            None => Part::Xlsx(Box::new(Book::new(&self.layout, self.limits.clone(), &self.head)?)),
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
                // a workbook is itself compressed
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
                let whole = self.text.len() / BLOCK * BLOCK;
                for block in self.text[..whole].chunks(BLOCK) {
                    self.zip.write_all(block)?;
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
            if self.part.is_some() && self.rows >= self.limits.archive_part_rows {
                self.close(&Tail { rows: self.rows, completed_at: self.head.requested_at })?;
            }
            let room = if self.part.is_some() {
                self.limits.archive_part_rows - self.rows
            } else {
                self.limits.archive_part_rows
            };
            let rows = frame.slice(at as i64, usize::try_from(room).unwrap_or(usize::MAX));
            at += rows.height();
            self.take(&rows)?;
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, tail: &Tail) -> Result<(), FormatError> {
        if self.parts == 0 {
            // an archive has at least one part, with a header
            self.part = Some(self.open()?);
        }
        self.close(&Tail { rows: self.rows, completed_at: tail.completed_at })?;
        if self.envelope {
            self.zip.start_file("export.csv", options(6)).map_err(failed)?;
            let (from, to) = (self.head.requested_at, tail.completed_at);
            write!(self.zip, "key,value\n{REQUESTED_AT},{from}\n{COMPLETED_AT},{to}\n{ROWS},{}\n", tail.rows)?;
        }
        self.zip.finish().map_err(failed)?;
        Ok(())
    }
}

/// Returns the options of a ZIP entry with this compression level. An entry may exceed 4 GiB. All entries have the same
/// modification time, so that the same rows result in the same archive.
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
