//! From a job to an export that is ours: which parts it needs, and its query.

use std::sync::Arc;

use entity::{export::Model, view};
use protocol::filter::{self, Filter};
use serde_json::{Map, Value};

use crate::{
    Registry,
    dataset::{Dataset, Query},
    error::JobError,
    format::{Format, Layout},
};

/// The parts of one export.
pub(super) struct Plan {
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) format: Arc<dyn Format>,
    pub(super) layout: Layout,
    pub(super) query: Query,
}

/// Finds the parts that the row names, and checks again what the gateway checked: the catalog may have changed, and
/// the row policy is applied only here.
pub(super) fn plan(registry: &Registry, row: &Model) -> Result<Plan, JobError> {
    let missing = |what, name: &str| JobError::Missing { what, name: name.to_owned() };
    let dataset = registry.dataset(&row.dataset).ok_or_else(|| missing("dataset", &row.dataset))?;
    let template = registry.template(&row.template).ok_or_else(|| missing("template", &row.template))?;
    let format = registry.format(&row.format).ok_or_else(|| missing("format", &row.format))?;
    if row.compression != "none" {
        return Err(missing("compression", &row.compression));
    }
    let layout = template.layout(dataset.as_ref(), &view::columns(row)?)?;
    let query = Query {
        columns: layout.columns.iter().map(|column| column.source.name.clone()).collect(),
        filter: rows_of(dataset.as_ref(), row)?,
        params: row.params.as_object().cloned().unwrap_or_default(),
    };
    Ok(Plan { dataset: Arc::clone(dataset), format: Arc::clone(format), layout, query })
}

/// The filter asked for and the row policy, both.
fn rows_of(dataset: &dyn Dataset, row: &Model) -> Result<Filter, JobError> {
    let parse = |filter: &Value| filter::parse(filter, dataset.columns()).map_err(JobError::Filter);
    let asked = parse(&row.filter)?;
    let Some(policy) = dataset.row_policy() else { return Ok(asked) };
    let none = Map::new();
    let claims = row.claims.as_object().unwrap_or(&none);
    let policy = parse(&filter::bind_claims(policy, claims).map_err(JobError::Claim)?)?;
    Ok(Filter::And(vec![policy, asked]))
}
