//! For datasets in Rust that make whole rows: the columns, the filter and the limit of a query, applied to their frames.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future};
use polars::prelude::{DataFrame, Schema};

use super::{DatasetError, Frames, Query, parquet::RowFilter};

/// Of frames that have all columns of a dataset, what a query asks for: rows that pass its filter, its columns in its
/// order, and no more rows than its limit. `schema` is that of the frames.
///
/// # Errors
/// When the query names a column that isn't in the schema.
pub fn sift(frames: Frames, schema: &Schema, query: &Query) -> Result<Frames, DatasetError> {
    if let Some(gone) = query.columns.iter().find(|name| !schema.contains(name)) {
        return Err(DatasetError::NoColumn(gone.clone()));
    }
    let filter = RowFilter::of(&query.filter, &Arc::new(schema.clone()))?.map(Arc::new);
    let columns: Arc<[String]> = query.columns.as_slice().into();
    let sifted = frames.and_then(move |frame| {
        let (filter, columns) = (filter.clone(), Arc::clone(&columns));
        // a filter may take its time, which no task of the runtime has
        let sifting = tokio::task::spawn_blocking(move || -> Result<DataFrame, DatasetError> {
            let passing = match &filter {
                None => frame,
                Some(filter) => filter.passing(frame)?,
            };
            Ok(passing.select(columns.iter().map(String::as_str))?)
        });
        async move { sifting.await? }
    });
    let some = sifted.try_filter(|frame| future::ready(frame.height() > 0));
    let Some(limit) = query.limit else { return Ok(some.boxed()) };
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
    Ok(limited.boxed())
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
    async fn frames_are_cut_down_to_what_is_asked_for() {
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
        let sifted: Vec<_> = sift(frames(), &schema, &query).unwrap().try_collect().await.unwrap();
        assert_eq!(sifted.iter().map(DataFrame::shape).collect::<Vec<_>>(), [(5, 1), (2, 1)]);
        let gone = Query { columns: vec!["nope".into()], ..query };
        assert!(matches!(sift(frames(), &schema, &gone), Err(DatasetError::NoColumn(_))));
    }
}
