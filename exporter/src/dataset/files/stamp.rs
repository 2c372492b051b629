//! Whether a file is still the one that was opened.

use std::{fs::File, time::SystemTime};

use super::super::DatasetError;

/// The size of a file and when it was last written. Who replaces a file by renaming another over it changes neither for
/// those who have it open; who writes into it changes both for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataset) struct Stamp {
    bytes: u64,
    written: SystemTime,
}

impl Stamp {
    /// Of the file as it is now.
    pub(in crate::dataset) fn of(file: &File) -> Result<Self, DatasetError> {
        let about = file.metadata()?;
        Ok(Self { bytes: about.len(), written: about.modified()? })
    }

    /// Refuses a file that was written since, before what was read of it is given to anybody.
    pub(in crate::dataset) fn check(&self, file: &File) -> Result<(), DatasetError> {
        if Self::of(file)? == *self { Ok(()) } else { Err(DatasetError::Rewritten) }
    }
}
