//! Applies the filter of a query to data frames.

use polars::prelude::{BooleanChunked, ChunkFull, DataFrame, Expr, IntoLazy, SchemaRef};
use protocol::filter::Filter;

use super::{
    super::{DatasetError, frame_channel::LimitedSender},
    column_types::column_type,
    predicate,
};
use crate::format::named_column;

/// The maximum number of rows for which a filter is evaluated at once.
const BATCH_ROWS: usize = 1 << 16;

/// A filter as a polars expression, and the names of the columns that the expression needs.
pub(in crate::dataset) struct RowFilter {
    expr: Expr,
    pub(super) columns: Vec<String>,
}

impl RowFilter {
    /// Translates a filter for data frames with the schema `schema`. Returns None for the empty filter, which every row
    /// passes.
    pub(in crate::dataset) fn new(filter: &Filter, schema: &SchemaRef) -> Result<Option<Self>, DatasetError> {
        if filter.is_all() {
            return Ok(None);
        }
        let expr = predicate::expr(filter, schema)?;
        let mut columns: Vec<_> = filter.columns().into_iter().map(str::to_owned).collect();
        if columns.is_empty() {
            // a filter without columns, such as an empty `or`, needs some column that states the number of rows
            let supported = schema.iter().find(|(_, dtype)| column_type(dtype).is_some());
            columns.extend(supported.map(|(name, _)| name.to_string()));
        }
        Ok(Some(Self { expr, columns }))
    }

    /// Returns the rows of a data frame that pass the filter. Returns None if no row passes, or if `sender` needs no
    /// further frame.
    pub(super) fn apply(&self, frame: DataFrame, sender: &LimitedSender) -> Result<Option<DataFrame>, DatasetError> {
        let mask = self.mask(&frame, || sender.is_closed())?.filter(BooleanChunked::any);
        Ok(mask.map(|mask| frame.filter(&mask)).transpose()?)
    }

    /// Returns the rows of a data frame that pass the filter. If no row passes, the returned frame is empty.
    pub(in crate::dataset) fn passing(&self, frame: DataFrame) -> Result<DataFrame, DatasetError> {
        let mask = self.mask(&frame, || false)?;
        Ok(mask.map_or(Ok(frame.clear()), |mask| frame.filter(&mask))?)
    }

    /// Returns for each row of a data frame whether the row passes the filter. As in SQL, a row for which the filter is
    /// NULL does not pass. Calls `is_canceled` between batches of rows, because some filters take long. Returns None
    /// once `is_canceled` returns true.
    pub(super) fn mask(
        &self,
        frame: &DataFrame,
        is_canceled: impl Fn() -> bool,
    ) -> Result<Option<BooleanChunked>, DatasetError> {
        const MASK: &str = "mask";
        let rows = frame.height();
        let Some(any) = self.columns.first() else { return Ok(Some(BooleanChunked::full(MASK.into(), true, rows))) };
        let mut passing = Vec::with_capacity(rows);
        for at in (0..rows).step_by(BATCH_ROWS) {
            if is_canceled() {
                return Ok(None);
            }
            let part = frame.slice(at as i64, BATCH_ROWS);
            // polars repeats the single value of a constant filter to the length of the second column
            let masked =
                part.lazy().select([self.expr.clone().alias(MASK), named_column(any).alias("any")]).collect()?;
            passing.extend(masked.column(MASK)?.bool()?.iter().map(|passes| passes.unwrap_or(false)));
        }
        Ok(Some(passing.into_iter().collect()))
    }
}
