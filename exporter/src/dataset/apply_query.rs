//! Applies the filter, the column selection and the limit of a query to data frames. Datasets that are written in Rust
//! use this module if their source can't apply a query itself.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future};
use polars::prelude::{DataFrame, Schema};

use super::{DatasetError, Frames, OpenedQuery, Query, files::RowFilter};

/// Applies a query to a stream of frames with the schema `schema`. The result has the columns that the query selects,
/// in the order of the query. It has only the rows that pass the filter. If the query has a limit, the result ends
/// after that number of rows.
///
/// # Errors
/// When the query names a column that isn't in the schema, or the filter does not fit the type of a column.
pub fn apply_query(query: &Query, schema: &Schema, frames: Frames) -> Result<OpenedQuery, DatasetError> {
    if let Some(gone) = query.columns.iter().find(|name| !schema.contains(name)) {
        return Err(DatasetError::NoColumn(gone.clone()));
    }
    let filter = RowFilter::new(&query.filter, &Arc::new(schema.clone()))?.map(Arc::new);
    let columns: Arc<[String]> = query.columns.as_slice().into();
    let applied = frames.and_then(move |frame| {
        let (filter, columns) = (filter.clone(), Arc::clone(&columns));
        // a filter may take long, and would block a worker of the runtime
        let filtering = tokio::task::spawn_blocking(move || -> Result<DataFrame, DatasetError> {
            let passing = match &filter {
                None => frame,
                Some(filter) => filter.passing(frame)?,
            };
            Ok(passing.select(columns.iter().map(String::as_str))?)
        });
        async move { filtering.await? }
    });
    let some = applied.try_filter(|frame| future::ready(frame.height() > 0));
    let Some(limit) = query.limit else { return Ok(some.boxed().into()) };
    let limited = some.scan(limit, |left, frame| {
        let next = match frame {
            _ if *left == 0 => None,
            Ok(frame) => {
                let frame = frame.head(Some(usize::try_from(*left).unwrap_or(usize::MAX)));
                *left -= frame.height() as u64;
                Some(Ok(frame))
            }
            Err(e) => Some(Err(e)),
        };
        future::ready(next)
    });
    Ok(limited.boxed().into())
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use polars::prelude::Column as PolarsColumn;
    use protocol::{
        catalog::{Column, ColumnType},
        filter,
    };
    use serde_json::{Map, json};

    use super::*;

    #[tokio::test]
    async fn frames_are_reduced_to_the_rows_and_columns_of_the_query() {
        let frame = |from: i64| {
            let columns = vec![
                PolarsColumn::new("n".into(), (from..from + 10).collect::<Vec<_>>()),
                PolarsColumn::new("s".into(), vec!["x"; 10]),
            ];
            DataFrame::new_infer_height(columns)
        };
        let schema = frame(0).unwrap().schema().as_ref().clone();
        let known = [Column::new("n", ColumnType::Int), Column::new("s", ColumnType::String)];
        let query = Query {
            columns: vec!["n".into()],
            filter: filter::parse(&json!({"n": {"gte": 15}}), &known).unwrap(),
            params: Map::new(),
            limit: Some(7),
        };
        let frames = || stream::iter([0, 10, 20].map(|from| Ok(frame(from)?))).boxed();
        let applied: Vec<_> = apply_query(&query, &schema, frames()).unwrap().frames.try_collect().await.unwrap();
        assert_eq!(applied.iter().map(DataFrame::shape).collect::<Vec<_>>(), [(5, 1), (2, 1)]);
        let gone = Query { columns: vec!["nope".into()], ..query };
        assert!(matches!(apply_query(&gone, &schema, frames()), Err(DatasetError::NoColumn(_))));
    }
}
