//! The columns that a dataset of text files offers, and the checks of each file against them.

use std::collections::BTreeSet;

use protocol::catalog::Column;

use super::super::DatasetError;

/// The columns of a dataset of text files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered<'a> {
    /// The columns of the dataset.
    pub(super) columns: &'a [Column],
    /// If the catalog file declares no columns: the names of the columns that some of the files lack.
    pub(super) optional: Option<&'a BTreeSet<String>>,
}

impl Offered<'_> {
    /// Whether the types of the columns are guesses, which each value must fit.
    pub(super) const fn is_guessed(&self) -> bool {
        self.optional.is_some()
    }

    /// Whether a file may lack a column, whose values in the file are then NULL.
    pub(super) fn may_lack(&self, name: &str) -> bool {
        self.optional.is_some_and(|optional| optional.contains(name))
    }

    /// Returns the selected columns, in the order of the selection.
    pub(super) fn columns(&self, selected: &[String]) -> Result<Vec<Column>, DatasetError> {
        let find = |name: &String| self.columns.iter().find(|column| column.name == *name).cloned();
        selected.iter().map(|name| find(name).ok_or_else(|| DatasetError::NoColumn(name.clone()))).collect()
    }

    /// Returns an error if a file has a column that the dataset would have to offer, and does not.
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
