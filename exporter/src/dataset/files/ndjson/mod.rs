//! Reads NDJSON files, which have one JSON object on each line. Each member name is a column, and a missing member is
//! NULL. Numbers, lists and objects in a text column have the same text as in the file.

mod lines;

use std::{borrow::Cow, collections::HashMap, fs::File};

use serde_json::value::RawValue;

use self::lines::Lines;
use super::{
    super::{DatasetError, frame_builder::FrameBuilder},
    guess::{self, Candidates},
    offered::Offered,
    parse::{self, ZoneSample},
    reader::FrameHandler,
    scan::{FileScan, ScannedColumn, Stop},
};

/// The maximum number of lines that [`sample`] and [`naive`] read from a file whose columns the catalog file declares.
/// [`sample`] finds the names of the members of its JSON objects, and [`naive`] finds timestamps without a time zone.
const SAMPLED_LINES: u64 = 1_000;
/// The maximum number of distinct members of a file. If the catalog file does not declare the columns, a file with more
/// members is an error. If it does, [`sample`] ignores the members beyond this number.
const MAX_MEMBERS: usize = 10_000;
/// The maximum total size of the names of all members of a file without declared columns, in bytes.
const MAX_NAMES: usize = 4 << 20;
/// The error for an object in which two members have the same name.
const TWICE: &str = "an object has this member twice: write it once, or one of them under another name";

/// Maps the names of members of JSON objects to indexes, and detects a member that occurs twice on a line.
#[derive(Default)]
struct Members {
    indexes: HashMap<String, usize>,
    /// The number of the last line on which each member has occurred, by the index of the member. The number is 0
    /// before the first occurrence of the member. Blank lines do not count.
    last_lines: Vec<u64>,
}

impl Members {
    fn add(&mut self, name: &str) -> usize {
        self.indexes.insert(name.to_owned(), self.last_lines.len());
        self.last_lines.push(0);
        self.last_lines.len() - 1
    }

    /// Records that the member with this index and name occurs on line `line`. Returns an error if the member has
    /// already occurred on this line.
    fn mark(&mut self, index: usize, name: &str, line: u64) -> Result<(), DatasetError> {
        if std::mem::replace(&mut self.last_lines[index], line) == line {
            return Err(DatasetError::Value { column: name.to_owned(), detail: TWICE });
        }
        Ok(())
    }
}

/// Returns the names of the members that occur on the first [`SAMPLED_LINES`] lines of a file.
pub(super) fn sample(file: File) -> Result<Vec<String>, DatasetError> {
    let (mut lines, mut names) = (Lines::of(file)?, Vec::new());
    let mut members = Members::default();
    let mut member = |name: &str, _: &RawValue| {
        if names.len() < MAX_MEMBERS && !members.indexes.contains_key(name) {
            members.add(name);
            names.push(name.to_owned());
        }
        Ok(())
    };
    while lines.number < SAMPLED_LINES && lines.next(&mut member)? {}
    Ok(names)
}

/// Returns for each of `columns` whether its values on the first [`SAMPLED_LINES`] lines are timestamps without a time
/// zone. Returns false for a column that has no values on these lines.
pub(super) fn naive(file: File, columns: &[&str]) -> Result<Vec<bool>, DatasetError> {
    let mut lines = Lines::of(file)?;
    let mut samples = vec![ZoneSample::default(); columns.len()];
    let mut member = |name: &str, value: &RawValue| {
        if let Some(index) = columns.iter().position(|column| *column == name)
            && let Some(text) = text(value.get()).ok_or_else(|| lines::HALF_SURROGATE.in_column(name))?
        {
            samples[index].add(&text);
        }
        Ok(())
    };
    while lines.number < SAMPLED_LINES && !columns.is_empty() && lines.next(&mut member)? {}
    Ok(samples.into_iter().map(ZoneSample::is_naive).collect())
}

/// Finds all members of a file. For each member, also finds the types that preserve its values, that is, an export
/// writes each value exactly as in the file. Returns [`DatasetError::Scanning`] as soon as `stop` is set.
pub(super) fn scan(file: File, stop: &Stop) -> Result<FileScan, DatasetError> {
    let mut lines = Lines::of(file)?;
    let (mut members, mut columns, mut names) = (Members::default(), Vec::new(), 0);
    let mut line = 1;
    loop {
        stop.check()?;
        let more = lines.next(|name, value| {
            let index = if let Some(index) = members.indexes.get(name) {
                *index
            } else {
                names += name.len();
                if columns.len() == MAX_MEMBERS || names > MAX_NAMES {
                    return Err(DatasetError::Undeclared(
                        "it has more than 10,000 different members, or 4 MiB of their names: declare its columns"
                            .into(),
                    ));
                }
                columns.push(ScannedColumn { name: name.to_owned(), candidates: Candidates::UNSEEN });
                members.add(name)
            };
            members.mark(index, name, line)?;
            text(value.get()).ok_or_else(|| lines::HALF_SURROGATE.in_column(name))?;
            columns[index].candidates.restrict_json(value.get().as_bytes());
            Ok(())
        })?;
        if !more {
            return Ok(FileScan { columns, rows: line - 1, notes: Vec::new(), seems_undelimited: false });
        }
        line += 1;
    }
}

/// Reads the selected columns of a file, and passes the rows to `handle` as data frames. Returns true at the end of the
/// file. If `handle` returns false, stops and returns false.
pub(super) fn read(
    file: File,
    offered: &Offered<'_>,
    selected: &[String],
    handle: FrameHandler<'_>,
) -> Result<bool, DatasetError> {
    let mut lines = Lines::of(file)?;
    let columns = offered.columns(selected)?;
    let known = columns.clone();
    let mut members = Members::default();
    // if the types are guessed, every column of the dataset is a known member, but only the selected columns are read
    let others = if offered.is_guessed() { offered.columns } else { &[] };
    for column in columns.iter().chain(others) {
        if !members.indexes.contains_key(&column.name) {
            members.add(&column.name);
        }
    }
    let mut frame = FrameBuilder::new(columns);
    // the texts of the current row, by the index of the column
    let mut texts: Vec<Option<String>> = vec![None; known.len()];
    let mut line = 1;
    loop {
        let more = lines.next(|name, value| {
            let Some(index) = members.indexes.get(name).copied() else {
                // an operator who declares columns omits the other members on purpose; otherwise, an unknown member
                // must not be lost
                return if offered.is_guessed() { Err(DatasetError::NewColumn(name.to_owned())) } else { Ok(()) };
            };
            members.mark(index, name, line)?;
            let Some(column) = known.get(index) else { return Ok(()) };
            let value = value.get();
            if offered.is_guessed() && !guess::fits_json(column, value.as_bytes()) {
                return Err(DatasetError::BrokenGuess(name.to_owned()));
            }
            let text = text(value).ok_or_else(|| lines::HALF_SURROGATE.in_column(name))?;
            texts[index] = text.map(Cow::into_owned);
            Ok(())
        })?;
        if !more {
            break;
        }
        line += 1;
        parse::push(&mut frame, |index| Ok(texts[index].as_deref())).map_err(|e| e.at_line(lines.number))?;
        texts.fill(None);
        if frame.is_full() && !handle(frame.take()?)? {
            return Ok(false);
        }
    }
    if frame.is_empty() { Ok(true) } else { handle(frame.take()?) }
}

/// Returns the text of a JSON value: the content of a string, or the JSON text of any other value. Returns `Some(None)`
/// for `null`, and None for a string with an invalid escape.
fn text(value: &str) -> Option<Option<Cow<'_, str>>> {
    Some(match value.as_bytes() {
        b"null" => None,
        [b'"', string @ .., b'"'] if !string.contains(&b'\\') => Some(Cow::Borrowed(&value[1..value.len() - 1])),
        [b'"', ..] => Some(Cow::Owned(serde_json::from_str(value).ok()?)),
        _ => Some(Cow::Borrowed(value)),
    })
}
