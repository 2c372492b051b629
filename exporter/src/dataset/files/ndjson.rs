//! Reads NDJSON files, which have one JSON object on each line. A missing member is NULL. Lists and objects become JSON
//! text.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    sync::Arc,
};

use polars::prelude::{Schema, SchemaRef};
use protocol::catalog::{Column, ColumnType};
use serde_json::{Map, Value};

use super::{
    super::{
        DatasetError,
        frame_builder::{FrameBuilder, dtype},
    },
    parse,
    reader::FrameHandler,
};

/// The number of lines in which the reader looks for undeclared columns, and from which it infers their types.
const INFERENCE_ROWS: usize = 1_000;
/// The maximum length of a line, in bytes.
const LINE_BYTES: u64 = 64 << 20;

/// Parses the lines of a file as JSON objects, and skips blank lines.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn of(mut file: File) -> Result<Self, DatasetError> {
        file.rewind()?;
        Ok(Self { reader: BufReader::with_capacity(1 << 20, file), line: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<Map<String, Value>>, DatasetError> {
        loop {
            self.line.clear();
            let read = self.reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LINE_BYTES {
                return Err(DatasetError::Garbled("a line has more than 64 MiB"));
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(
                    serde_json::from_slice(&self.line)
                        .map_err(|_| DatasetError::Garbled("a line is no JSON object"))?,
                ));
            }
        }
    }
}

/// Returns the declared columns, and all other columns of the first lines with inferred types.
pub(super) fn schema(file: File, declared: &[Column]) -> Result<SchemaRef, DatasetError> {
    let mut lines = Lines::of(file)?;
    let mut rows = Vec::new();
    while rows.len() < INFERENCE_ROWS
        && let Some(row) = lines.next()?
    {
        rows.push(row);
    }
    let mut schema = Schema::default();
    for column in declared {
        schema.insert(column.name.as_str().into(), dtype(column.kind));
    }
    for name in rows.iter().flat_map(Map::keys) {
        if !schema.contains(name) {
            schema.insert(name.into(), dtype(kind(&rows, name)));
        }
    }
    Ok(Arc::new(schema))
}

/// Returns the narrowest column type that fits all values of the member `name`; text if these rows have no value for
/// it.
fn kind(rows: &[Map<String, Value>], name: &str) -> ColumnType {
    let mut values = rows.iter().filter_map(|row| row.get(name)).filter(|value| !value.is_null()).peekable();
    if values.peek().is_none() {
        return ColumnType::String;
    }
    let all = |fits: fn(&Value) -> bool| rows.iter().filter_map(|row| row.get(name)).all(|v| v.is_null() || fits(v));
    if all(Value::is_i64) {
        ColumnType::Int
    } else if all(Value::is_number) {
        ColumnType::Float
    } else if all(Value::is_boolean) {
        ColumnType::Bool
    } else if all(Value::is_string) {
        match parse::infer(values.filter_map(Value::as_str)) {
            kind @ (ColumnType::Date | ColumnType::Datetime) => kind,
            // strings in any other form are text
            _ => ColumnType::String,
        }
    } else {
        ColumnType::String
    }
}

/// Reads the selected columns of a file, and passes them to `handle` frame by frame. Stops and returns false when
/// `handle` returns false.
pub(super) fn read(
    file: File,
    columns: &[Column],
    selected: &[String],
    handle: FrameHandler<'_>,
) -> Result<bool, DatasetError> {
    let mut lines = Lines::of(file)?;
    let typed = selected.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).cloned();
    let mut frame = FrameBuilder::new(typed);
    while let Some(row) = lines.next()? {
        let texts: Vec<_> = selected.iter().map(|name| row.get(name).and_then(text)).collect();
        parse::push(&mut frame, |index| texts[index].as_deref())?;
        if frame.is_full() && !handle(frame.take()?)? {
            return Ok(false);
        }
    }
    if frame.is_empty() { Ok(true) } else { handle(frame.take()?) }
}

fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}
