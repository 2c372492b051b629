//! CSV and TSV files with a header. An empty field is NULL; lines that begin with `#` before the header are comments.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek},
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

type Reader = csv::Reader<BufReader<File>>;

fn reader(file: File, delimiter: u8) -> Result<Reader, DatasetError> {
    let mut lines = BufReader::with_capacity(1 << 20, file);
    if lines.fill_buf()?.starts_with(BOM) {
        lines.consume(BOM.len());
    }
    // after the header a line that begins so is a row: to take it for a comment would lose it
    while lines.fill_buf()?.starts_with(b"#") {
        lines.skip_until(b'\n')?;
    }
    Ok(ReaderBuilder::new().delimiter(delimiter).from_reader(lines))
}

/// The columns of a file and their types.
pub(super) fn look(file: File, delimiter: u8, declared: &[Column]) -> Result<SchemaRef, DatasetError> {
    let mut reader = reader(file, delimiter)?;
    let header = reader.headers()?.clone();
    let rows = reader.records().take(LOOK_ROWS).collect::<Result<Vec<_>, _>>()?;
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
    mut file: File,
    delimiter: u8,
    columns: &[Column],
    wanted: &Wanted<'_>,
    take: Take<'_>,
) -> Result<bool, DatasetError> {
    file.rewind()?;
    let mut reader = reader(file, delimiter)?;
    let header = reader.headers()?.clone();
    let mut places = Vec::with_capacity(wanted.columns.len());
    for name in wanted.columns {
        let place = header.iter().position(|title| title == name);
        places.push(place.ok_or_else(|| DatasetError::NoColumn(name.clone()))?);
    }
    let typed = wanted.columns.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).cloned();
    let mut cells = Cells::new(typed.collect());
    let mut record = StringRecord::new();
    while reader.read_record(&mut record)? {
        cells.push(|index| record.get(places[index]).filter(|text| !text.is_empty()))?;
        if cells.is_full() && !take(cells.take()?)? {
            return Ok(false);
        }
    }
    if cells.is_empty() { Ok(true) } else { take(cells.take()?) }
}
