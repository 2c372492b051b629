//! The columns that a dataset of text files offers. Each file is checked against these columns.

use std::collections::BTreeSet;

use protocol::catalog::Column;

use super::super::DatasetError;

/// The columns that a dataset of text files offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered<'a> {
    /// The columns with their declared or guessed types.
    pub(super) columns: &'a [Column],
    /// The names of the columns that some of the files lack. None if the catalog file declares the columns.
    pub(super) optional: Option<&'a BTreeSet<String>>,
}

impl Offered<'_> {
    /// Whether the exporter guessed the types of the columns from the values. Each value must then fit the guessed type
    /// of its column. False if the catalog file declares the types.
    pub(super) const fn is_guessed(&self) -> bool {
        self.optional.is_some()
    }

    /// Whether a file may lack the column with this name. If a file lacks the column, the column is NULL in all rows of
    /// the file.
    pub(super) fn may_lack(&self, name: &str) -> bool {
        self.optional.is_some_and(|optional| optional.contains(name))
    }

    /// Returns the columns with the names `selected`, in the order of `selected`. Returns an error for an unknown name.
    pub(super) fn columns(&self, selected: &[String]) -> Result<Vec<Column>, DatasetError> {
        let find = |name: &String| self.columns.iter().find(|column| column.name == *name).cloned();
        selected.iter().map(|name| find(name).ok_or_else(|| DatasetError::NoColumn(name.clone()))).collect()
    }

    /// Checks the names of all columns of a file. If the exporter guessed the types, returns an error for a column that
    /// the dataset does not offer. If the catalog file declares the columns, a file may have further columns.
    pub(super) fn check_names(&self, names: &[String]) -> Result<(), DatasetError> {
        if !self.is_guessed() {
            return Ok(());
        }
        let known: BTreeSet<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        match names.iter().find(|name| !known.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(DatasetError::NewColumn(name.clone())),
        }
    }
}
