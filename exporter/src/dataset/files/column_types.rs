//! The types of columns in filters and files, and the columns of a dataset of files.

use polars::prelude::DataType;
use protocol::catalog::{Column, ColumnType};
use tracing::warn;

use super::{super::DatasetError, type_mapping::TypeMapping};

/// The type of a polars column in filters and files; None if they don't support it.
pub(super) fn column_type(dtype: &DataType) -> Option<ColumnType> {
    Some(match dtype {
        DataType::String => ColumnType::String,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => ColumnType::Int,
        DataType::Float32 | DataType::Float64 => ColumnType::Float,
        DataType::Decimal(..) => ColumnType::Decimal,
        DataType::Boolean => ColumnType::Bool,
        DataType::Date => ColumnType::Date,
        DataType::Datetime(..) => ColumnType::Datetime,
        DataType::Time => ColumnType::Time,
        _ => return None,
    })
}

/// The columns of a dataset of files: the declared ones with the types of the file, or all supported ones if none is
/// declared.
///
/// # Errors
/// When a declared column is missing or unsupported, or the file has no supported column.
pub(super) fn columns(dataset: &str, mapping: &TypeMapping, declared: &[Column]) -> Result<Vec<Column>, DatasetError> {
    let typed = |name: &str, dtype: &DataType| {
        let original = || mapping.unsupported.get(name).cloned().unwrap_or_else(|| format!("{dtype:?}"));
        let kind = column_type(dtype);
        kind.ok_or_else(|| DatasetError::Unsupported { column: name.to_owned(), dtype: original() })
    };
    if declared.is_empty() {
        let (known, unknown): (Vec<_>, Vec<_>) = mapping
            .schema
            .iter()
            .map(|(name, dtype)| Ok(Column::new(name.as_str(), typed(name, dtype)?)))
            .partition(Result::is_ok);
        for error in unknown.iter().filter_map(|column: &Result<_, DatasetError>| column.as_ref().err()) {
            warn!(dataset.name = dataset, error = %error, "a column of an unsupported type is not offered");
        }
        if known.is_empty()
            && let Some(none) = unknown.into_iter().next()
        {
            return none.map(|column| vec![column]);
        }
        return known.into_iter().collect();
    }
    let known = declared.iter().map(|column| {
        let dtype = mapping.schema.get(&column.name).ok_or_else(|| DatasetError::NoColumn(column.name.clone()))?;
        Ok(Column { kind: typed(&column.name, dtype)?, ..column.clone() })
    });
    known.collect()
}
