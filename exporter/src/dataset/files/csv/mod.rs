//! Reads CSV and TSV files with a header. An empty field is NULL, but `""` in a text column is an empty text. Leading
//! lines that begin with `#` are comments or the header, as `kind::Comments` says.

mod header;
mod preamble;
mod quotes;
mod records;

use std::fs::File;

use protocol::catalog::{Column, ColumnType};

pub(super) use self::header::Header;
use self::records::{NOT_UTF8, Records};
use super::{
    super::{DatasetError, frame_builder::FrameBuilder},
    guess::{self, Candidates},
    kind::CsvDialect,
    offered::Offered,
    parse::{self, ZoneSample},
    reader::FrameHandler,
    scan::{FileScan, ScannedColumn, Stop},
};

/// The maximum number of rows that are read to find out whether the timestamps of a declared column have a time zone.
const SAMPLED_ROWS: u64 = 1_000;

/// Returns the names of the columns of a file, and a note about each column whose name differs from its title.
pub(super) fn header(file: File, dialect: CsvDialect) -> Result<Header, DatasetError> {
    Ok(Records::of(file, dialect)?.header)
}

/// Finds the columns of a file. For each column, also finds the types that preserve its values, that is, an export
/// writes each value exactly as in the file. Reads all rows. If only text preserves the values of a column, checks only
/// that further values are UTF-8. Returns [`DatasetError::Scanning`] as soon as `stop` is set.
pub(super) fn scan(file: File, dialect: CsvDialect, stop: &Stop) -> Result<FileScan, DatasetError> {
    let mut records = Records::of(file, dialect)?;
    let seems_undelimited = records.header.names.len() == 1 && records.seems_to_have_another_delimiter();
    let mut candidates = vec![Candidates::UNSEEN; records.header.names.len()];
    let mut open: Vec<_> = (0..candidates.len()).collect();
    let mut rows = 0;
    while records.next()? {
        stop.check()?;
        rows += 1;
        let mut ended = false;
        for index in &open {
            if let Some(field) = records.field(*index) {
                candidates[*index].restrict(field);
                ended |= candidates[*index].is_text();
            }
        }
        if ended {
            open.retain(|index| !candidates[*index].is_text());
        }
        let broken = (0..candidates.len())
            .find(|index| records.field(*index).is_some_and(|field| std::str::from_utf8(field).is_err()));
        if let Some(index) = broken {
            let column = records.header.names[index].clone();
            return Err(records.at_line(DatasetError::Value { column, detail: NOT_UTF8 }));
        }
    }
    let Header { names, notes } = records.header;
    let columns = names.into_iter().zip(candidates).map(|(name, candidates)| ScannedColumn { name, candidates });
    Ok(FileScan { columns: columns.collect(), rows, notes, seems_undelimited })
}

/// Returns for each of `columns` whether its values in the first [`SAMPLED_ROWS`] rows are timestamps without a time
/// zone. Returns false for a column that has no values in these rows.
pub(super) fn naive(file: File, dialect: CsvDialect, columns: &[&str]) -> Result<Vec<bool>, DatasetError> {
    let mut records = Records::of(file, dialect)?;
    let names = &records.header.names;
    let indexes: Vec<_> = columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
    let mut samples = vec![ZoneSample::default(); columns.len()];
    let mut read = 0;
    while read < SAMPLED_ROWS && !columns.is_empty() && records.next()? {
        read += 1;
        for (index, sample) in indexes.iter().zip(&mut samples) {
            if let Some(field) = index.and_then(|index| records.field(index)).map(<[u8]>::trim_ascii)
                && !field.is_empty()
            {
                sample.add(&String::from_utf8_lossy(field));
            }
        }
    }
    Ok(samples.into_iter().map(ZoneSample::is_naive).collect())
}

/// Reads the selected columns of a file, and passes the rows to `handle` as data frames. Stops and returns false when
/// `handle` returns false.
pub(super) fn read(
    file: File,
    dialect: CsvDialect,
    offered: &Offered<'_>,
    selected: &[String],
    handle: FrameHandler<'_>,
) -> Result<bool, DatasetError> {
    let mut records = Records::of(file, dialect)?;
    offered.check_names(&records.header.names)?;
    let columns = offered.columns(selected)?;
    let mut indexes = Vec::with_capacity(columns.len());
    for column in &columns {
        let index = records.header.names.iter().position(|name| *name == column.name);
        if index.is_none() && !offered.may_lack(&column.name) {
            return Err(DatasetError::MissingColumn(column.name.clone()));
        }
        indexes.push(index);
    }
    let mut frame = FrameBuilder::new(columns.iter().cloned());
    while records.next()? {
        let field = |index: usize| {
            let column @ Column { name, .. } = &columns[index];
            let Some(field) = indexes[index].and_then(|at| records.field(at)) else {
                let is_empty_text =
                    column.kind == ColumnType::String && indexes[index].is_some_and(|at| records.is_quoted_empty(at));
                return Ok(is_empty_text.then_some(""));
            };
            if offered.is_guessed() && !guess::fits(column, field) {
                return Err(DatasetError::BrokenGuess(name.clone()));
            }
            let text = std::str::from_utf8(field);
            text.map(Some).map_err(|_| DatasetError::Value { column: name.clone(), detail: NOT_UTF8 })
        };
        parse::push(&mut frame, field).map_err(|e| records.at_line(e))?;
        if frame.is_full() && !handle(frame.take()?)? {
            return Ok(false);
        }
    }
    if frame.is_empty() { Ok(true) } else { handle(frame.take()?) }
}
