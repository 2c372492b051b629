//! Reads values whose annotation polars ignores or whose range polars does not cover: 16-bit floats, UUIDs and moments
//! of 96 bits.

use polars_arrow::{
    array::{Array, FixedSizeListArray, ListArray, MapArray, PrimitiveArray, StructArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField},
};
use polars_parquet::parquet::{
    metadata::SchemaDescriptor,
    schema::types::{PhysicalType, PrimitiveLogicalType},
};

use super::super::{super::DatasetError, type_mapping};

/// Gives columns the type that their annotation states, where polars reads them as bytes: 16-bit floats and UUIDs.
/// Members of lists and records stay bytes.
pub(super) fn annotated(fields: ArrowSchema, file: &SchemaDescriptor) -> ArrowSchema {
    let annotate = |field: ArrowField| {
        let mut leaves = file.columns().iter().filter(|leaf| leaf.path_in_schema.first() == Some(&field.name));
        let annotation = leaves.next().and_then(|leaf| leaf.descriptor.primitive_type.logical_type);
        match (annotation, &field.dtype) {
            (Some(PrimitiveLogicalType::Float16), ArrowDataType::FixedSizeBinary(2)) => {
                ArrowField { dtype: ArrowDataType::Float16, ..field }
            }
            (Some(PrimitiveLogicalType::Uuid), ArrowDataType::FixedSizeBinary(16)) => type_mapping::with_uuids(field),
            _ => field,
        }
    };
    fields.into_iter_values().map(annotate).collect()
}

/// Refuses a column with a moment of 96 bits outside of the years 1677 to 2262, which polars replaces by another one.
///
/// # Errors
/// When a value is such a moment.
pub(super) fn check_moments(name: &str, kinds: &[PhysicalType], arrays: &[Box<dyn Array>]) -> Result<(), DatasetError> {
    if kinds.contains(&PhysicalType::Int96) && arrays.iter().any(|array| has_replaced(&**array)) {
        let detail = "a moment of 96 bits lies before 1677-09-22 or after 2262-04-11: write the column as \
                      timestamps in microseconds";
        return Err(DatasetError::Value { column: name.to_owned(), detail });
    }
    Ok(())
}

/// Whether an array, or an array within it, has the number that polars writes for a moment out of range.
fn has_replaced(array: &dyn Array) -> bool {
    let any = array.as_any();
    if let Some(moments) = any.downcast_ref::<PrimitiveArray<i64>>() {
        return matches!(moments.dtype(), ArrowDataType::Timestamp(..))
            && moments.iter().flatten().any(|moment| *moment == i64::MAX);
    }
    if let Some(list) = any.downcast_ref::<ListArray<i64>>() {
        return has_replaced(&**list.values());
    }
    if let Some(list) = any.downcast_ref::<ListArray<i32>>() {
        return has_replaced(&**list.values());
    }
    if let Some(list) = any.downcast_ref::<FixedSizeListArray>() {
        return has_replaced(&**list.values());
    }
    if let Some(map) = any.downcast_ref::<MapArray>() {
        return has_replaced(&**map.field());
    }
    any.downcast_ref::<StructArray>().is_some_and(|record| record.values().iter().any(|part| has_replaced(&**part)))
}
