//! A dataset as one caller sees it: its own rows, without the columns that are hidden from them, and with masks over
//! others.
//!
//! Exports, counts, estimates and previews all go through [`Seen`], so that none of them can forget a rule.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, IntoColumn, NewChunkedArray, StringChunked};
use protocol::{
    access::{Without, scopes_of},
    catalog::Column,
    filter::{self, Filter},
    params::ParamSpec,
};
use serde_json::{Map, Value};

use super::{Begun, Dataset, DatasetError, Frames, Guess, Query, Snapshot};
use crate::error::JobError;

/// What stands for a redacted text.
const REDACTED: &str = "***";
/// Texts up to this length would be half told by their last characters.
const SHORT: usize = 8;
/// So many characters are left of longer ones.
const LAST: usize = 4;

/// A dataset for one caller.
pub struct Seen {
    inner: Arc<dyn Dataset>,
    columns: Vec<Column>,
    hidden: Vec<Column>,
    /// Whose rows; None for all.
    policy: Option<Filter>,
    masks: Vec<(String, Without)>,
}

impl Seen {
    /// The dataset as the one with these claims sees it.
    ///
    /// # Errors
    /// When it isn't for them, or its row policy names a claim that they don't have.
    pub fn new(inner: Arc<dyn Dataset>, claims: &Map<String, Value>) -> Result<Self, JobError> {
        let (access, scopes) = (inner.access(), scopes_of(claims));
        if let Some(missing) = access.scopes.iter().find(|scope| !scopes.contains(scope)) {
            return Err(JobError::Scope(missing.clone()));
        }
        let policy = match inner.row_policy() {
            None => None,
            Some(policy) => {
                let bound = filter::bind_claims(policy, claims).map_err(JobError::Claim)?;
                Some(filter::parse(&bound, inner.columns()).map_err(JobError::Policy)?)
            }
        };
        let columns = access.visible(inner.columns(), &scopes);
        let masks = columns
            .iter()
            .filter(|column| column.masked)
            .filter_map(|column| Some((column.name.clone(), access.rule(&column.name, &scopes)?)))
            .collect();
        let unseen = |column: &&Column| columns.iter().all(|seen| seen.name != column.name);
        let hidden = inner.columns().iter().filter(unseen).cloned().collect();
        Ok(Self { inner, columns, hidden, policy, masks })
    }

    /// The query with the policy in it.
    fn within(&self, query: &Query) -> Result<Query, DatasetError> {
        // what was checked before is checked again, as this is the last place where it can be
        let known = |name: &str| self.columns.iter().find(|column| column.name == name);
        if let Some(hidden) = query.columns.iter().find(|name| known(name).is_none()) {
            return Err(DatasetError::NoColumn(hidden.clone()));
        }
        let asked = query.filter.columns();
        if let Some(hidden) = asked.into_iter().find(|name| known(name).is_none_or(|column| column.masked)) {
            return Err(DatasetError::NoColumn(hidden.to_owned()));
        }
        let filter = match &self.policy {
            None => query.filter.clone(),
            Some(policy) if query.filter.is_all() => policy.clone(),
            Some(policy) => Filter::And(vec![policy.clone(), query.filter.clone()]),
        };
        Ok(Query { filter, ..query.clone() })
    }
}

#[async_trait]
impl Dataset for Seen {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn title(&self) -> &str {
        self.inner.title()
    }

    fn description(&self) -> &str {
        self.inner.description()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn hidden(&self) -> &[Column] {
        &self.hidden
    }

    fn params(&self) -> &[ParamSpec] {
        self.inner.params()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }

    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    fn retention(&self) -> Duration {
        self.inner.retention()
    }

    fn credits(&self) -> u32 {
        self.inner.credits()
    }

    async fn rows_estimate(&self) -> Option<u64> {
        // how many rows others have is nobody's business
        if self.policy.is_some() { None } else { self.inner.rows_estimate().await }
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        self.inner.count(&self.within(query)?).await
    }

    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let within = self.within(query)?;
        if self.policy.is_some() && !query.filter.is_all() && self.inner.guesses_from_all_rows() {
            // what the planner makes of a filter follows from everybody's values: only rows of theirs are counted
            let counted = self.inner.count(&within).await?;
            return Ok(counted.map(|rows| Guess { rows, exact: true }));
        }
        self.inner.guess(&within).await
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        Ok(self.begin(query).await?.frames)
    }

    async fn begin(&self, query: &Query) -> Result<Begun, DatasetError> {
        let Begun { frames, moment } = self.inner.begin(&self.within(query)?).await?;
        let masks: Vec<_> = self.masks.iter().filter(|(name, _)| query.columns.contains(name)).cloned().collect();
        if masks.is_empty() {
            return Ok(Begun { frames, moment });
        }
        Ok(Begun { frames: frames.map(move |frame| masked(frame?, &masks)).boxed(), moment })
    }
}

fn masked(mut frame: DataFrame, masks: &[(String, Without)]) -> Result<DataFrame, DatasetError> {
    for (name, without) in masks {
        let column = frame.column(name)?;
        let veil = veil(column, *without)?;
        frame.replace(name, veil)?;
    }
    Ok(frame)
}

fn veil(column: &PolarsColumn, without: Without) -> Result<PolarsColumn, DatasetError> {
    let name = column.name().clone();
    let texts = match (without, column.dtype()) {
        (Without::Redacted | Without::LastFour, DataType::String) => column.str()?,
        // a mask for texts over anything else shows nothing rather than all
        _ => return Ok(PolarsColumn::full_null(name, column.len(), column.dtype())),
    };
    let veiled = texts
        .iter()
        .map(|text| text.map(|text| if without == Without::LastFour { last_four(text) } else { REDACTED.to_owned() }));
    Ok(StringChunked::from_iter_options(name, veiled).into_column())
}

fn last_four(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHORT {
        return "*".repeat(count);
    }
    text.chars().enumerate().map(|(at, c)| if at + LAST < count { '*' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_tell_nothing_but_what_they_should() {
        assert_eq!(last_four("4111111111111234"), "************1234");
        assert_eq!(last_four("ete-ééé-é"), "*****éé-é");
        assert_eq!((last_four("12345678"), last_four("")), ("********".to_owned(), String::new()));
        let card = PolarsColumn::new("card".into(), [Some("4111111111111234"), None, Some("")]);
        let texts = |without| {
            let veiled = veil(&card, without).unwrap();
            veiled.str().unwrap().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(texts(Without::Redacted), [Some("***".to_owned()), None, Some("***".to_owned())]);
        assert_eq!(texts(Without::LastFour)[0].as_deref(), Some("************1234"));
        let number = PolarsColumn::new("salary".into(), [1_i64, 2]);
        for without in [Without::Null, Without::Redacted] {
            let veiled = veil(&number, without).unwrap();
            assert_eq!((veiled.null_count(), veiled.dtype()), (2, &DataType::Int64));
        }
    }

    /// A source whose statistics know all rows.
    struct Planned {
        columns: [Column; 2],
        policy: Value,
    }

    #[async_trait]
    impl Dataset for Planned {
        fn name(&self) -> &str {
            "planned"
        }

        fn columns(&self) -> &[Column] {
            &self.columns
        }

        fn row_policy(&self) -> Option<&Value> {
            Some(&self.policy)
        }

        async fn rows_estimate(&self) -> Option<u64> {
            Some(1_000)
        }

        async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
            Ok(Some(5))
        }

        async fn guess(&self, _: &Query) -> Result<Option<Guess>, DatasetError> {
            Ok(Some(Guess { rows: 900, exact: false }))
        }

        fn guesses_from_all_rows(&self) -> bool {
            true
        }

        async fn open(&self, _: &Query) -> Result<Frames, DatasetError> {
            Ok(futures::stream::empty().boxed())
        }
    }

    #[tokio::test]
    async fn statistics_of_everybody_answer_no_filter_of_somebody() {
        let columns = ["tenant", "secret"].map(|name| Column::new(name, protocol::catalog::ColumnType::String));
        let policy = serde_json::json!({"tenant": {"eq": {"claim": "tenant"}}});
        let claims = serde_json::json!({"tenant": "acme"});
        let seen = Seen::new(Arc::new(Planned { columns, policy }), claims.as_object().unwrap()).unwrap();
        assert_eq!(seen.rows_estimate().await, None);
        let asked = |filter: Value| Query {
            columns: vec!["secret".into()],
            filter: filter::parse(&filter, seen.columns()).unwrap(),
            params: Map::new(),
            limit: None,
        };
        let all = seen.guess(&asked(serde_json::json!({}))).await.unwrap();
        assert_eq!(all, Some(Guess { rows: 900, exact: false }), "what is guessed of their rows alone is theirs");
        let some = seen.guess(&asked(serde_json::json!({"secret": {"eq": "x"}}))).await.unwrap();
        assert_eq!(some, Some(Guess { rows: 5, exact: true }), "a filter is counted");
    }
}
