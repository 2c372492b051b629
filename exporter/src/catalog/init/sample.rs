//! Reads the first rows of a dataset, so that personal data can be recognised by its values.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use polars::prelude::{AnyValue, DataFrame};
use protocol::filter::Filter;
use serde_json::Map;

use crate::dataset::{Dataset, DatasetError, Query};

/// The maximum number of rows in a sample.
const ROWS: u64 = 200;
/// The time limit for reading the sample of one dataset. A view, for example, may take long to compute its rows.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the rows of a dataset could not be sampled.
#[derive(Debug)]
pub(super) enum SampleError {
    /// The source did not send the sampled rows within the time limit.
    Slow,
    /// The source refused the query, or failed while it sent rows.
    Failed(DatasetError),
}

/// Reads the first rows of a dataset. Returns the values of each column as texts, by the name of the column. Leaves out
/// NULL and empty texts.
pub(super) async fn sample(dataset: &dyn Dataset) -> Result<BTreeMap<String, Vec<String>>, SampleError> {
    let columns: Vec<_> = dataset.info().columns.iter().map(|column| column.name.clone()).collect();
    let query = Query { columns: columns.clone(), filter: Filter::all(), params: Map::new(), limit: Some(ROWS) };
    let reading = async { dataset.open(&query).await?.frames.try_collect::<Vec<DataFrame>>().await };
    let frames = tokio::time::timeout(TIMEOUT, reading).await.map_err(|_| SampleError::Slow)?;
    let frames = frames.map_err(SampleError::Failed)?;
    let values = |name: &String| {
        let columns = frames.iter().filter_map(|frame| frame.column(name).ok());
        columns.flat_map(|column| (0..column.len()).filter_map(|at| text(&column.get(at).ok()?))).collect()
    };
    Ok(columns.iter().map(|name| (name.clone(), values(name))).collect())
}

/// Returns a value as text; None for NULL and for an empty text.
fn text(value: &AnyValue<'_>) -> Option<String> {
    match value {
        AnyValue::Null => None,
        AnyValue::String(text) => Some((*text).to_owned()),
        AnyValue::StringOwned(text) => Some(text.to_string()),
        other => Some(other.to_string()),
    }
    .filter(|text| !text.is_empty())
}
