//! The description of a dataset: its name, its columns and its access rules.

use std::{collections::BTreeMap, time::Duration};

use protocol::{access::Access, catalog::Column, params::ParamSpec};
use serde_json::Value;

/// The default retention of finished files.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of columns that count as tenant columns if a dataset does not declare its tenant columns.
pub(crate) const TENANT_COLUMNS: [&str; 2] = ["tenant", "tenant_id"];

/// Whether all rows of an export come from one snapshot of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Snapshot {
    /// All rows come from one snapshot, so an export sees no write that happens after its start.
    #[default]
    Export,
    /// Different parts of the source are read at different times. If a concurrent write moves a row from one part to
    /// another, the row may be exported twice or not at all.
    None,
}

/// The meaning of the texts in a column of the source. It decides how the texts can be compared with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextMeaning {
    /// UUIDs in lower case with hyphens. A UUID in a claim is compared in lower case.
    Uuid,
    /// Texts that have spaces at the end up to a fixed length, as in a PostgreSQL column of the type `char(n)`.
    Padded,
    /// Texts that stand for bytes, JSON, lists, records or other composed values. Such texts can't be compared with a
    /// claim.
    Notation,
}

/// The description of a dataset.
///
/// Build it from [`DatasetInfo::new`] and set the fields that differ from the defaults:
/// `DatasetInfo { credits: 2, ..DatasetInfo::new("orders", columns) }`.
#[derive(Clone, Debug)]
pub struct DatasetInfo {
    /// The name that requests and scopes (`export:<name>`) use.
    pub name: String,
    /// The title of the dataset that users see; the name by default.
    pub title: String,
    /// The description of the dataset that users see; empty by default.
    pub description: String,
    /// The version of the dataset, which manifests record with the name; `1` by default. Change the version whenever
    /// the dataset begins to select different rows or columns of its source.
    pub version: String,
    /// Whether all rows of an export come from one snapshot of the source; [`Snapshot::Export`] by default.
    pub snapshot: Snapshot,
    /// The columns, in the order of the dataset.
    pub columns: Vec<Column>,
    /// The columns that the caller may not see. Only the description in an [`AccessView`](super::AccessView) has such
    /// columns; everywhere else, the list is empty.
    pub hidden_columns: Vec<Column>,
    /// The parameters for which a request gives values; none by default.
    pub params: Vec<ParamSpec>,
    /// A filter that every row must pass, in which `{"claim": "<name>"}` stands for a value of the caller's token;
    /// none by default.
    pub row_policy: Option<Value>,
    /// The columns that name the tenant of a row; by default the columns called `tenant` or `tenant_id`. The row policy
    /// must compare each of these columns with a claim.
    pub tenant_columns: Option<Vec<String>>,
    /// The meaning of the texts in a column, by the name of the column. Columns of ordinary texts have no entry. Empty
    /// by default.
    pub text_meanings: BTreeMap<String, TextMeaning>,
    /// The scopes that an export requires, and the column rules; by default every caller sees all columns as they are.
    pub access: Access,
    /// The time for which finished files are kept; 24 hours by default.
    pub retention: Duration,
    /// The price of one export, in credits; 1 by default.
    pub credits: u32,
    /// Whether estimates come from statistics of all rows, including rows that the row policy hides from the caller.
    /// For a filter, such an estimate would reveal how many hidden rows pass the filter. An
    /// [`AccessView`](super::AccessView) with a row policy therefore answers a query with a filter by an exact count
    /// instead.
    pub estimates_from_all_rows: bool,
    /// Sentences about columns or files that the dataset does not offer, or offers under another name. The exporter
    /// logs these sentences when it loads the catalog file, and writes them to the metadata document of each export.
    pub notes: Vec<String>,
}

impl DatasetInfo {
    /// Creates the description of a dataset with this name and these columns. All other fields have their defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, columns: Vec<Column>) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            description: String::new(),
            version: "1".into(),
            snapshot: Snapshot::Export,
            columns,
            hidden_columns: Vec::new(),
            params: Vec::new(),
            row_policy: None,
            tenant_columns: None,
            text_meanings: BTreeMap::new(),
            access: Access::default(),
            retention: RETENTION,
            credits: 1,
            estimates_from_all_rows: false,
            notes: Vec::new(),
        }
    }

    /// Returns the columns that name the tenant of a row: the declared columns, or else those called `tenant` or
    /// `tenant_id`.
    #[must_use]
    pub fn tenant_columns(&self) -> Vec<&str> {
        match &self.tenant_columns {
            Some(declared) => declared.iter().map(String::as_str).collect(),
            None => self
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|name| TENANT_COLUMNS.contains(name))
                .collect(),
        }
    }

    /// Returns the column with this name; None if the dataset has no such column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
