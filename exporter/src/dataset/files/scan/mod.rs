//! Finds the columns of CSV and NDJSON files if the catalog file does not declare the columns. Guesses the types of the
//! columns from all rows of all files.
//!
//! A task reads the files of a dataset one after the other, and caches the columns of each version of a file. A load of
//! the catalog waits for this task only for a limited time. If the task takes longer, the dataset is unavailable at
//! first. A later load of the catalog receives the result of the same task. Concurrent loads share the task.

mod cache;
mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use platform::clock::{Clock, SystemClock};
use protocol::catalog::Column;

pub(super) use self::task::{MAX_WAIT, find};
use super::{super::DatasetError, FileKind, csv, file_version::FileVersion, guess::Candidates, ndjson};

/// The maximum number of notes about renamed columns of one dataset, not counting [`MORE_NOTES`].
const MAX_NOTES: usize = 20;
/// The last note of a dataset with more than [`MAX_NOTES`] renamed columns. It stands for the notes about all further
/// columns.
const MORE_NOTES: &str = "further columns are offered under other names than in the files";

/// The columns that were found in one version of a file.
#[derive(Debug)]
pub(super) struct FileScan {
    /// The columns, in the order of the file.
    pub(super) columns: Vec<ScannedColumn>,
    /// The number of rows of a CSV file, or of objects of an NDJSON file.
    pub(super) rows: u64,
    /// Notes for operators about columns that are offered under another name than in the file.
    pub(super) notes: Vec<String>,
    /// Whether the delimiter of the dialect gives a CSV file only one column, but another delimiter seems to give it
    /// several columns. False for NDJSON.
    pub(super) seems_undelimited: bool,
}

/// A column of a file, and the types that preserve the text of all its values, that is, an export would write the same
/// text.
#[derive(Clone, Debug)]
pub(super) struct ScannedColumn {
    pub(super) name: String,
    pub(super) candidates: Candidates,
}

/// The columns that were found in all files of a dataset.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The columns of all files, in the order in which they were found first.
    pub(super) columns: Vec<Column>,
    /// The names of the columns that some of the files lack.
    pub(super) optional: BTreeSet<String>,
    /// Notes for operators about columns that are offered under another name than in the file, and about columns that
    /// some of the files lack.
    pub(super) notes: Vec<String>,
}

/// A signal that stops the scan of a file.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn stop(&self) {
        self.0.store(true, Relaxed);
    }

    /// Returns [`DatasetError::Scanning`] if [`Self::stop`] has been called.
    pub(super) fn check(&self) -> Result<(), DatasetError> {
        if self.0.load(Relaxed) { Err(DatasetError::Scanning) } else { Ok(()) }
    }
}

/// Returns the columns of an open file. If the same version of the file was scanned before, takes the columns from the
/// cache. `remote` identifies the version of the object if the file is a copy of an object whose version is known.
/// Otherwise, `remote` is None.
fn scan_file(file: File, kind: FileKind, remote: Option<String>, stop: &Stop) -> Result<Arc<FileScan>, DatasetError> {
    let (same, version) = (file.try_clone()?, FileVersion::of(&file)?);
    let key = cache::Key::of(&file, kind, remote)?;
    if let Some(known) = cache::get(&key) {
        return Ok(known);
    }
    let scanned = match kind {
        FileKind::Csv(dialect) => csv::scan(file, dialect, stop),
        _ => ndjson::scan(file, stop),
    };
    // check for a modification of the file before any error of the scan, because the modification may have caused it
    version.check(&same)?;
    let scanned = Arc::new(scanned?);
    if key.is_settled(SystemClock.now()) {
        cache::put(key, Arc::clone(&scanned));
    }
    Ok(scanned)
}

/// The combined columns of the files of a dataset.
#[derive(Debug, Default)]
struct Merged {
    columns: Vec<ScannedColumn>,
    indexes: HashMap<String, usize>,
    /// The number of files that have each column, in the order of `columns`.
    counts: Vec<usize>,
    files: usize,
    notes: Vec<String>,
    known_notes: HashSet<String>,
    has_more_notes: bool,
    has_wide_file: bool,
    has_undelimited_file: bool,
}

impl Merged {
    fn add(&mut self, scan: &FileScan) {
        self.files += 1;
        self.has_wide_file |= scan.columns.len() > 1;
        self.has_undelimited_file |= scan.seems_undelimited;
        for column in &scan.columns {
            if let Some(index) = self.indexes.get(&column.name) {
                self.columns[*index].candidates.intersect(column.candidates);
                self.counts[*index] += 1;
            } else {
                self.indexes.insert(column.name.clone(), self.columns.len());
                self.columns.push(column.clone());
                self.counts.push(1);
            }
        }
        for note in &scan.notes {
            if self.known_notes.contains(note) {
                continue;
            }
            if self.notes.len() == MAX_NOTES {
                self.has_more_notes = true;
                break;
            }
            self.known_notes.insert(note.clone());
            self.notes.push(note.clone());
        }
    }

    /// Whether one file seems to have another delimiter than the other files.
    const fn mixes_delimiters(&self) -> bool {
        self.has_wide_file && self.has_undelimited_file
    }

    fn found(self) -> Found {
        let Self { columns, counts, files, mut notes, .. } = self;
        notes.extend(self.has_more_notes.then(|| MORE_NOTES.to_owned()));
        let optional = columns.iter().zip(&counts).filter(|(_, count)| **count < files);
        let optional: BTreeSet<_> = optional.map(|(column, _)| column.name.clone()).collect();
        notes.extend(missing_in_some(&optional));
        let columns = columns.into_iter().map(|column| column.candidates.column(column.name));
        Found { columns: columns.collect(), optional, notes }
    }
}

/// Returns a note for operators about the columns `optional`, which some of the files lack; None if `optional` is
/// empty.
fn missing_in_some(optional: &BTreeSet<String>) -> Option<String> {
    let first = optional.first()?;
    let others = match optional.len() - 1 {
        0 => String::new(),
        1 => " and 1 other column".to_owned(),
        more => format!(" and {more} other columns"),
    };
    Some(format!("some of its files lack `{first}`{others}, which is NULL in their rows"))
}
