//! Finds the dataset, layout, format and compression of a request. Hides the rows and values of the dataset that the
//! user must not see.

use std::sync::Arc;

use entity::{StoreError, export::Model, view};
use protocol::{filter, params};
use serde_json::{Map, Value};

use crate::{
    dataset::{AccessView, Dataset, Query},
    error::JobError,
    format::{Compression, Format},
    layout::Layout,
    registry::Registry,
};

/// A request for an export or an estimate, and the claims from the token of its user.
pub(crate) struct PlanRequest {
    pub(crate) dataset: String,
    pub(crate) template: String,
    pub(crate) format: String,
    pub(crate) compression: String,
    pub(crate) filter: Value,
    pub(crate) columns: Vec<String>,
    pub(crate) params: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl PlanRequest {
    /// Reads the request from the database row of an export.
    pub(crate) fn from_row(row: &Model) -> Result<Self, StoreError> {
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

/// What the exporter does for a request: the dataset to read, the query for its rows, and the layout, format and
/// compression of the file.
pub(crate) struct Plan {
    /// The dataset, wrapped in an [`AccessView`] that applies the row policy and the column masks for the export's
    /// owner.
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) format: Arc<dyn Format>,
    /// The compression that the request names.
    pub(crate) compression: Compression,
    pub(crate) layout: Layout,
    pub(crate) query: Query,
}

impl Plan {
    /// Finds the dataset, template, format and compression of a request. Applies the dataset's row policy and column
    /// masks, with the claims of the user. Repeats the gateway's checks of the request, because the catalog may have
    /// changed since these checks.
    ///
    /// # Errors
    /// When the registry lacks the dataset, template or format, or when the format lacks the compression. Also when the
    /// request does not fit the dataset, the template or the claims of the user.
    pub(crate) fn resolve(registry: &Registry, request: PlanRequest) -> Result<Self, JobError> {
        let missing = |part, name: &str| JobError::Missing { part, name: name.to_owned() };
        let dataset = registry.dataset(&request.dataset).ok_or_else(|| missing("dataset", &request.dataset))?;
        let template = registry.template(&request.template).ok_or_else(|| missing("template", &request.template))?;
        let format = registry.format(&request.format).ok_or_else(|| missing("format", &request.format))?;
        let compression = request.compression.parse().ok();
        let compression = compression
            .filter(|compression| format.info().compressions.contains(compression))
            .ok_or_else(|| missing("compression", &request.compression))?;
        let dataset = AccessView::new(Arc::clone(dataset), &request.claims)?;
        let info = dataset.info();
        let mut layout = template.layout(info, &request.columns)?;
        layout.timestamps = format.info().timestamps(layout.timestamps);
        let query = Query {
            columns: layout.inputs().to_vec(),
            filter: filter::parse(&request.filter, &info.columns).map_err(JobError::Filter)?,
            params: params::check(&info.params, &request.params).map_err(JobError::Params)?,
            limit: None,
        };
        Ok(Self { dataset: Arc::new(dataset), format: Arc::clone(format), compression, layout, query })
    }

    /// Returns the compression of the whole file: none if the format applies the requested compression inside the file.
    pub(crate) fn whole_file_compression(&self) -> Compression {
        self.format.info().whole_file_compression(self.compression)
    }
}
