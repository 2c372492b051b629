//! Detects that another program has modified an open file.

use std::{fs::File, path::Path, time::SystemTime};

use super::super::DatasetError;

/// The size and the modification time of an open file. Each write to the file changes its modification time. Renaming
/// another file over the path changes neither value, because the exporter still has the old file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    bytes: u64,
    modified: SystemTime,
}

impl FileVersion {
    /// Returns the current version of an open file.
    pub(super) fn of(file: &File) -> Result<Self, DatasetError> {
        let metadata = file.metadata()?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()? })
    }

    /// Returns the current version of the file at a path; None if the file can't be opened.
    pub(super) fn at(path: &Path) -> Option<Self> {
        Self::of(&File::open(path).ok()?).ok()
    }

    /// Returns an error if the open file has been modified since [`Self::of`] returned this version. The caller must
    /// call this method after each read, before it sends the rows.
    pub(super) fn check(&self, file: &File) -> Result<(), DatasetError> {
        if Self::of(file)? == *self { Ok(()) } else { Err(DatasetError::Rewritten) }
    }
}
