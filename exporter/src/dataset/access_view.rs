//! Applies the access rules of a dataset for one caller: the row policy, hidden columns and column masks.
//!
//! Exports, counts, estimates and previews all go through [`AccessView`], so that none of them can skip a rule.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, IntoColumn, NewChunkedArray, StringChunked};
use protocol::{
    access::{Access, ColumnMask, scopes_of},
    filter::{self, Filter, Unbound},
    problem::FieldError,
};
use serde_json::{Map, Value};

use super::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount, TextMeaning};

/// The text that replaces each text under the mask `redacted`. NULL stays NULL.
const REDACTED: &str = "***";
/// The maximum length, in characters, of a text that the mask `last_four` hides completely. Four shown characters would
/// be at least half of such a text.
const SHORT: usize = 8;
/// The number of characters that the mask `last_four` shows at the end of a text of more than [`SHORT`] characters.
const LAST: usize = 4;

/// The reason why a dataset can't be opened for a caller.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The dataset needs a scope that the caller's token lacks.
    #[error("the dataset needs the scope `{0}`")]
    Scope(String),
    /// The row policy needs a claim that the caller's token lacks.
    #[error("the row policy needs the claim `{0}`")]
    Claim(String),
    /// The row policy does not fit the columns of the dataset, or compares a column with a claim of a different type.
    /// The list has the faults of the policy; the message names only the first.
    #[error("the row policy does not hold: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Policy(Vec<FieldError>),
}

/// A dataset as one caller may see it: the row policy filters rows, and columns are hidden or masked.
pub struct AccessView {
    inner: Arc<dyn Dataset>,
    info: DatasetInfo,
    /// The row policy, in which the values of the caller's claims replace the names of the claims. None if the dataset
    /// has no row policy.
    policy: Option<Filter>,
    masks: Vec<(String, ColumnMask)>,
}

impl AccessView {
    /// Returns the dataset `inner` as a caller with these claims may see it.
    ///
    /// # Errors
    /// When the caller lacks a required scope or a claim that the row policy names, or when the row policy is invalid.
    pub fn new(inner: Arc<dyn Dataset>, claims: &Map<String, Value>) -> Result<Self, AccessError> {
        let (info, scopes) = (inner.info(), scopes_of(claims));
        if let Some(missing) = info.access.scopes.iter().find(|scope| !scopes.contains(scope)) {
            return Err(AccessError::Scope(missing.clone()));
        }
        let policy = match &info.row_policy {
            None => None,
            Some(policy) => {
                let is_uuid = |column: &str| info.text_meanings.get(column) == Some(&TextMeaning::Uuid);
                let bound = filter::bind_claims(policy, claims, &info.columns, &is_uuid).map_err(|e| match e {
                    Unbound::Missing(claim) => AccessError::Claim(claim),
                    Unbound::Unfit(fault) => AccessError::Policy(vec![fault]),
                })?;
                Some(filter::parse(&bound, &info.columns).map_err(AccessError::Policy)?)
            }
        };
        let columns = info.access.visible_columns(&info.columns, &scopes);
        let masks = columns
            .iter()
            .filter(|column| column.masked)
            .filter_map(|column| Some((column.name.clone(), info.access.mask_for(&column.name, &scopes)?)))
            .collect();
        let is_visible = |name: &str| columns.iter().any(|visible| visible.name == name);
        let info = DatasetInfo {
            hidden_columns: info.columns.iter().filter(|column| !is_visible(&column.name)).cloned().collect(),
            columns,
            // this view applies the row policy and the access rules itself, so its callers must not apply them again
            row_policy: None,
            access: Access::default(),
            ..info.clone()
        };
        Ok(Self { inner, info, policy, masks })
    }

    /// Returns the query with the row policy added to its filter.
    ///
    /// # Errors
    /// When the query selects a hidden or unknown column, or filters by a hidden, masked or unknown column.
    fn restricted(&self, query: &Query) -> Result<Query, DatasetError> {
        // the gateway and the plan check this too, but only a check here covers every caller of the dataset
        if let Some(hidden) = query.columns.iter().find(|name| self.info.column(name).is_none()) {
            return Err(DatasetError::NoColumn(hidden.clone()));
        }
        let filtered = query.filter.columns();
        let is_unusable = |name: &&str| self.info.column(name).is_none_or(|column| column.masked);
        if let Some(hidden) = filtered.into_iter().find(is_unusable) {
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
impl Dataset for AccessView {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let mut opened = self.inner.open(&self.restricted(query)?).await?;
        let masks: Vec<_> = self.masks.iter().filter(|(name, _)| query.columns.contains(name)).cloned().collect();
        if !masks.is_empty() {
            opened.frames = opened.frames.map(move |frame| masked_frame(frame?, &masks)).boxed();
        }
        Ok(opened)
    }

    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        // an estimate from statistics of all rows would tell the caller how many hidden rows match the filter
        let is_revealing = self.policy.is_some() && !query.filter.is_all() && self.info.estimates_from_all_rows;
        let precision = if is_revealing { Precision::Exact } else { precision };
        self.inner.count(&self.restricted(query)?, precision).await
    }
}

fn masked_frame(mut frame: DataFrame, masks: &[(String, ColumnMask)]) -> Result<DataFrame, DatasetError> {
    for (name, mask) in masks {
        let masked = masked_column(frame.column(name)?, *mask)?;
        frame.replace(name, masked)?;
    }
    Ok(frame)
}

fn masked_column(column: &PolarsColumn, mask: ColumnMask) -> Result<PolarsColumn, DatasetError> {
    let name = column.name().clone();
    let texts = match (mask, column.dtype()) {
        (ColumnMask::Redacted | ColumnMask::LastFour, DataType::String) => column.str()?,
        // the mask `null`, and a text mask on a column of another type: the column shows NULL, which reveals nothing
        _ => return Ok(PolarsColumn::full_null(name, column.len(), column.dtype())),
    };
    let masked = texts
        .iter()
        .map(|text| text.map(|text| if mask == ColumnMask::LastFour { last_four(text) } else { REDACTED.to_owned() }));
    Ok(StringChunked::from_iter_options(name, masked).into_column())
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
    use protocol::catalog::{Column, ColumnType};
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_reveal_no_more_than_they_promise() {
        assert_eq!(last_four("4111111111111234"), "************1234");
        assert_eq!(last_four("ete-ééé-é"), "*****éé-é");
        assert_eq!((last_four("12345678"), last_four("")), ("********".to_owned(), String::new()));
        let card = PolarsColumn::new("card".into(), [Some("4111111111111234"), None, Some("")]);
        let texts = |mask| {
            let masked = masked_column(&card, mask).unwrap();
            masked.str().unwrap().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(texts(ColumnMask::Redacted), [Some("***".to_owned()), None, Some("***".to_owned())]);
        assert_eq!(texts(ColumnMask::LastFour)[0].as_deref(), Some("************1234"));
        let number = PolarsColumn::new("salary".into(), [1_i64, 2]);
        for mask in [ColumnMask::Null, ColumnMask::Redacted] {
            let masked = masked_column(&number, mask).unwrap();
            assert_eq!((masked.null_count(), masked.dtype()), (2, &DataType::Int64));
        }
    }

    /// A test dataset whose row estimates come from statistics of all rows, including the rows of other tenants.
    struct WithStatistics(DatasetInfo);

    #[async_trait]
    impl Dataset for WithStatistics {
        fn info(&self) -> &DatasetInfo {
            &self.0
        }

        async fn open(&self, _: &Query) -> Result<OpenedQuery, DatasetError> {
            Ok(futures::stream::empty().boxed().into())
        }

        async fn count(&self, _: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
            Ok(Some(match precision {
                Precision::Exact => RowCount::exact(5),
                Precision::Estimate => RowCount::estimate(900),
            }))
        }
    }

    #[tokio::test]
    async fn a_filter_under_a_row_policy_is_counted_and_not_estimated_from_all_rows() {
        let columns = ["tenant", "secret"].map(|name| Column::new(name, ColumnType::String));
        let info = DatasetInfo {
            row_policy: Some(json!({"tenant": {"eq": {"claim": "tenant"}}})),
            estimates_from_all_rows: true,
            ..DatasetInfo::new("with_statistics", columns.to_vec())
        };
        let claims = json!({"tenant": "acme"});
        let view = AccessView::new(Arc::new(WithStatistics(info)), claims.as_object().unwrap()).unwrap();
        let query = |filter: Value| Query {
            columns: vec!["secret".into()],
            filter: filter::parse(&filter, &view.info().columns).unwrap(),
            params: Map::new(),
            limit: None,
        };
        let all = view.count(&query(json!({})), Precision::Estimate).await.unwrap();
        assert_eq!(all, Some(RowCount::estimate(900)), "the estimate of the caller's own rows");
        let some = view.count(&query(json!({"secret": {"eq": "x"}})), Precision::Estimate).await.unwrap();
        assert_eq!(some, Some(RowCount::exact(5)), "a filter is counted");
    }
}
