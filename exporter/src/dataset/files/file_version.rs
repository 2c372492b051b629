//! Detects a modification of an open file.

use std::{fs::File, time::SystemTime};

use super::super::DatasetError;

/// The size and the modification time of a file. A rename of another file over this one changes neither for a reader that
/// has this file open; a write into this file changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    bytes: u64,
    modified: SystemTime,
}

impl FileVersion {
    /// Returns the current version of a file.
    pub(super) fn of(file: &File) -> Result<Self, DatasetError> {
        let metadata = file.metadata()?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()? })
    }

    /// Refuses a file that was modified since then. Call this after each read, before the rows are sent.
    pub(super) fn check(&self, file: &File) -> Result<(), DatasetError> {
        if Self::of(file)? == *self { Ok(()) } else { Err(DatasetError::Rewritten) }
    }
}
