//! What a source offers: datasets before they are written, and parts that can't be offered.

use std::collections::BTreeMap;

use protocol::catalog::{Column, ColumnType};
use serde::Serialize;

use super::sensitive::{self, Guess};
use crate::dataset::TextMeaning;

/// The source of the rows of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DraftRows {
    /// A table or view, as the key `table` names it.
    Table(String),
    /// A query, for a table whose name the key `table` can't hold.
    Query(String),
    /// A path, key or pattern, and the delimiter if it is not the usual one.
    Files { files: String, delimiter: Option<char> },
}

/// A column that allows several connections to read a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitBy {
    pub(super) column: String,
    /// A sentence for operators.
    pub(super) reason: String,
    /// Whether the catalog file sets the key `split_by`. If false, the key is in a comment.
    pub(super) applies: bool,
}

/// A column of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DraftColumn {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) local: bool,
    /// Whether the catalog declares the type. If it does not, the source decides.
    pub(super) declares_type: bool,
    /// The comment on the column in the database.
    pub(super) comment: Option<String>,
    /// A sentence for operators about the column.
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

/// A dataset before it is written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The names that the dataset may have, the best first.
    pub(super) names: Vec<String>,
    /// The table or files in words, such as ``table `public.orders` ``.
    pub(super) subject: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) rows: DraftRows,
    /// Sentences for operators about the whole dataset.
    pub(super) remarks: Vec<String>,
    pub(super) columns: Vec<DraftColumn>,
    pub(super) split_by: Option<SplitBy>,
}

impl Draft {
    /// Sets the guesses about personal data from sampled values, by the name of the column.
    pub(super) fn guess(&mut self, sample: &BTreeMap<String, Vec<String>>) {
        for column in &mut self.columns {
            let values = sample.get(&column.name).map_or(&[][..], Vec::as_slice);
            column.guess = sensitive::guess(&column.name, column.kind, values);
        }
    }

    /// Sets the guesses about personal data by names alone, because the rows did not come in time.
    pub(super) fn guess_by_names(&mut self) {
        self.remarks
            .push("Its rows did not come in time: personal data is recognised by the names of columns alone.".into());
        self.guess(&BTreeMap::new());
    }
}

/// A part of the source that the catalog does not offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotOffered {
    /// The table or file in words, such as ``table `public.orders` ``.
    pub what: String,
    /// Why it is not offered, and what to do.
    pub reason: String,
}

impl NotOffered {
    pub(super) fn new(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}

/// Everything that was found in a source.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) not_offered: Vec<NotOffered>,
}
