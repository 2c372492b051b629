//! Maps polars types to the column types of the catalog.

use polars::prelude::DataType;
use protocol::catalog::ColumnType;

/// Returns the catalog's column type for a polars type; None if filters and export formats do not support the polars
/// type.
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
