//! A dataset as a catalog file describes it, over whatever its rows come from.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use protocol::{access::Access, catalog::Column, params::ParamSpec};
use serde_json::Value;

use super::{Begun, Dataset, DatasetError, Frames, Guess, Query, Snapshot};

/// What a description says beside where the rows are.
#[derive(Clone, Debug)]
pub struct About {
    /// The name in requests and scopes.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// In their order; all of them are columns of the source.
    pub columns: Vec<Column>,
    /// What tells this description from others of the same name.
    pub version: String,
    /// The columns that say whose a row is; none for those whose names suggest it.
    pub tenant_columns: Vec<String>,
    /// A filter that always holds.
    pub row_policy: Option<Value>,
    /// Who may see what.
    pub access: Access,
    /// How long a finished file is kept.
    pub retention: Duration,
    /// What one export costs.
    pub credits: u32,
}

/// Rows of a source under a description.
pub struct Declared {
    about: About,
    rows: Arc<dyn Dataset>,
}

impl Declared {
    /// These rows under this description.
    #[must_use]
    pub fn new(about: About, rows: Arc<dyn Dataset>) -> Self {
        Self { about, rows }
    }
}

#[async_trait]
impl Dataset for Declared {
    fn name(&self) -> &str {
        &self.about.name
    }

    fn title(&self) -> &str {
        &self.about.title
    }

    fn description(&self) -> &str {
        &self.about.description
    }

    fn columns(&self) -> &[Column] {
        &self.about.columns
    }

    fn params(&self) -> &[ParamSpec] {
        self.rows.params()
    }

    fn row_policy(&self) -> Option<&Value> {
        self.about.row_policy.as_ref()
    }

    fn tenant_columns(&self) -> Vec<&str> {
        if self.about.tenant_columns.is_empty() {
            // a column that is left out is still a column of the rows
            return self.rows.tenant_columns();
        }
        self.about.tenant_columns.iter().map(String::as_str).collect()
    }

    fn version(&self) -> &str {
        &self.about.version
    }

    fn snapshot(&self) -> Snapshot {
        self.rows.snapshot()
    }

    fn access(&self) -> Access {
        self.about.access.clone()
    }

    fn retention(&self) -> Duration {
        self.about.retention
    }

    fn credits(&self) -> u32 {
        self.about.credits
    }

    async fn rows_estimate(&self) -> Option<u64> {
        self.rows.rows_estimate().await
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        self.rows.count(query).await
    }

    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        self.rows.guess(query).await
    }

    fn guesses_from_all_rows(&self) -> bool {
        self.rows.guesses_from_all_rows()
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        self.rows.open(query).await
    }

    async fn begin(&self, query: &Query) -> Result<Begun, DatasetError> {
        self.rows.begin(query).await
    }
}
