//! Selects the columns that a dataset of Parquet or Arrow IPC files offers.

use polars::prelude::DataType;
use protocol::catalog::{Column, ColumnType};
use tracing::warn;

use super::{super::DatasetError, column_types::column_type, type_mapping::TypeMapping};

/// Returns the columns that the dataset offers, and notes for operators. If `declared` has columns, returns the
/// declared columns with their types in the file, and no notes. If `declared` is empty, returns all columns of
/// supported types, and a note about each unsupported column. `dataset` is the name of the dataset, for log lines.
///
/// # Errors
///
/// When a declared column is missing or unsupported, or when all columns of the file are unsupported.
pub(super) fn columns(
    dataset: &str,
    mapping: &TypeMapping,
    declared: &[Column],
) -> Result<(Vec<Column>, Vec<String>), DatasetError> {
    let local = |dtype: &DataType| matches!(dtype, DataType::Datetime(_, None));
    let typed = |name: &str, dtype: &DataType| {
        let original = || mapping.unsupported.get(name).cloned().unwrap_or_else(|| format!("{dtype:?}"));
        let kind = column_type(dtype);
        kind.ok_or_else(|| DatasetError::Unsupported { column: name.to_owned(), dtype: original() })
    };
    if declared.is_empty() {
        let (known, unknown): (Vec<_>, Vec<_>) = mapping
            .schema
            .iter()
            .map(|(name, dtype)| {
                Ok(Column::new(name.as_str(), ColumnType::String).typed(typed(name, dtype)?, local(dtype)))
            })
            .partition(Result::is_ok);
        let mut notes = Vec::new();
        for error in unknown.iter().filter_map(|column: &Result<_, DatasetError>| column.as_ref().err()) {
            warn!(dataset.name = dataset, error = %error, "a column of an unsupported type is not offered");
            notes.push(format!("{error}; the column is not offered"));
        }
        if known.is_empty()
            && let Some(none) = unknown.into_iter().next()
        {
            return none.map(|column| (vec![column], notes));
        }
        return Ok((known.into_iter().collect::<Result<_, DatasetError>>()?, notes));
    }
    let known = declared.iter().map(|column| {
        let dtype = mapping.schema.get(&column.name).ok_or_else(|| DatasetError::NoColumn(column.name.clone()))?;
        Ok(column.clone().typed(typed(&column.name, dtype)?, local(dtype)))
    });
    Ok((known.collect::<Result<_, DatasetError>>()?, Vec::new()))
}
