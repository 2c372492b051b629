//! From a request to an export that is its owner's: which parts it needs, and its query.

use std::sync::Arc;

use entity::{StoreError, export::Model, view};
use protocol::{filter, params};
use serde_json::{Map, Value};

use crate::{
    Registry,
    dataset::{Dataset, Query, Seen},
    error::JobError,
    format::{Compression, Format, Layout},
};

/// What somebody asks for, and who they are.
pub(crate) struct Ask {
    pub(crate) dataset: String,
    pub(crate) template: String,
    pub(crate) format: String,
    pub(crate) compression: String,
    pub(crate) filter: Value,
    pub(crate) columns: Vec<String>,
    pub(crate) params: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl Ask {
    /// What a row asks for.
    pub(crate) fn of(row: &Model) -> Result<Self, StoreError> {
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        Ok(Self {
            dataset: row.dataset.clone(),
            template: row.template.clone(),
            format: row.format.clone(),
            compression: row.compression.clone(),
            filter: row.filter.clone(),
            columns: view::columns(row)?,
            params: object(&row.params),
            claims: object(&row.claims),
        })
    }
}

/// The parts of one export.
pub(crate) struct Plan {
    /// As its owner sees it: row policy and masks are in it.
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) format: Arc<dyn Format>,
    pub(crate) compression: Compression,
    pub(crate) layout: Layout,
    pub(crate) query: Query,
}

/// Finds the parts that are asked for, and checks again what the gateway checked: the catalog may have changed, and
/// row policy and column rules hold only here.
pub(crate) fn plan(registry: &Registry, ask: Ask) -> Result<Plan, JobError> {
    let missing = |what, name: &str| JobError::Missing { what, name: name.to_owned() };
    let dataset = registry.dataset(&ask.dataset).ok_or_else(|| missing("dataset", &ask.dataset))?;
    let template = registry.template(&ask.template).ok_or_else(|| missing("template", &ask.template))?;
    let format = registry.format(&ask.format).ok_or_else(|| missing("format", &ask.format))?;
    let compression = ask.compression.parse().ok().filter(|one| format.compressions().contains(one));
    let compression = compression.ok_or_else(|| missing("compression", &ask.compression))?;
    let dataset = Seen::new(Arc::clone(dataset), &ask.claims)?;
    let mut layout = template.layout(&dataset, &ask.columns)?;
    layout.timestamps = format.timestamps(layout.timestamps);
    let query = Query {
        columns: layout.inputs().to_vec(),
        filter: filter::parse(&ask.filter, dataset.columns()).map_err(JobError::Filter)?,
        params: params::check(dataset.params(), &ask.params).map_err(JobError::Params)?,
        limit: None,
    };
    Ok(Plan { dataset: Arc::new(dataset), format: Arc::clone(format), compression, layout, query })
}
