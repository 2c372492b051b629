//! Drafts of datasets: the datasets that `sluice catalog init` has found in a source, before it writes them to the
//! catalog file.

use std::collections::BTreeMap;

use protocol::catalog::{Column, ColumnType};
use serde::Serialize;

use super::sensitive::{self, Guess};
use crate::dataset::TextMeaning;

/// Where the rows of a draft come from: the key `table`, `query` or `files` of the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DraftRows {
    /// The rows of a table or view, by the value of the key `table` in the catalog file.
    Table(String),
    /// The rows of a query, by the value of the key `query` in the catalog file. Used for a table whose name the key
    /// `table` can't express.
    Query(String),
    /// The rows of files, by the value of the key `files` in the catalog file: a path, object key or pattern. The
    /// delimiter is None if it is the usual one for the file's extension.
    Files { files: String, delimiter: Option<char> },
}

/// A guess for the key `split_by`: the column whose values split the rows into ranges, which several connections can
/// read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitBy {
    pub(super) column: String,
    /// The reason for the guess, as a sentence for the operator.
    pub(super) reason: String,
    /// Whether `catalog init` sets the key `split_by`. If false, it writes the key as a comment.
    pub(super) applies: bool,
}

/// A column of a draft dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DraftColumn {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) local: bool,
    /// Whether the catalog file declares the type of the column. If false, the column has the type in the source.
    pub(super) declares_type: bool,
    /// The comment on the column in the database (`COMMENT ON COLUMN`).
    pub(super) comment: Option<String>,
    /// A sentence about the column for the operator, which becomes a comment in the catalog file.
    pub(super) remark: Option<String>,
    pub(super) meaning: Option<TextMeaning>,
    pub(super) guess: Option<Guess>,
}

impl DraftColumn {
    pub(super) fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self {
            name: name.into(),
            kind,
            local: false,
            declares_type: false,
            comment: None,
            remark: None,
            meaning: None,
            guess: None,
        }
    }

    pub(super) fn of(column: &Column) -> Self {
        Self { local: column.local, ..Self::new(&column.name, column.kind) }
    }
}

/// A dataset that was found in a source, before it is written to the catalog file.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The names that the dataset may get, in the order of preference. The first name that is still free is used.
    pub(super) names: Vec<String>,
    /// The text that names the table or files in comments and reports, such as ``table `public.orders` ``.
    pub(super) subject: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) rows: DraftRows,
    /// Sentences about the whole dataset for the operator, which become comments in the catalog file.
    pub(super) remarks: Vec<String>,
    pub(super) columns: Vec<DraftColumn>,
    pub(super) split_by: Option<SplitBy>,
}

impl Draft {
    /// Guesses which columns have personal data, from the names of the columns and from `sample`: for each column name,
    /// a few values.
    pub(super) fn guess(&mut self, sample: &BTreeMap<String, Vec<String>>) {
        for column in &mut self.columns {
            let values = sample.get(&column.name).map_or(&[][..], Vec::as_slice);
            column.guess = sensitive::guess(&column.name, column.kind, values);
        }
    }

    /// Guesses which columns have personal data from the names of the columns alone. The caller uses this method if the
    /// source did not send any rows in time.
    pub(super) fn guess_by_names(&mut self) {
        self.remarks
            .push("Its rows did not come in time: personal data is recognised by the names of columns alone.".into());
        self.guess(&BTreeMap::new());
    }
}

/// A table, view or file of the source that the catalog file does not offer as a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotOffered {
    /// The text that names the table or file, such as ``table `public.orders` ``.
    pub what: String,
    /// The reason why the catalog file does not offer the table or file, and what the operator can do.
    pub reason: String,
}

impl NotOffered {
    pub(super) fn new(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}

/// The drafts of all datasets of a source, and the tables or files that can't be datasets.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) not_offered: Vec<NotOffered>,
}
