//! Handles values that polars misreads in Parquet files. 16-bit floats and UUIDs get the types that their annotations
//! state, because polars ignores these annotations. 96-bit timestamps beyond the range of polars are refused.

use polars_arrow::{
    array::{Array, FixedSizeListArray, ListArray, MapArray, PrimitiveArray, StructArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, TimeUnit as ArrowTimeUnit},
};
use polars_parquet::parquet::{
    metadata::SchemaDescriptor,
    schema::types::{PhysicalType, PrimitiveLogicalType, PrimitiveType},
};

use super::super::{
    super::DatasetError,
    decimal_bytes::{self, MAX_DIGITS},
    dictionaries, readable,
};

/// Corrects the Arrow types `fields` that polars infers for the columns of a Parquet file:
///
/// - 16-bit floats and UUIDs get a mark in the field's metadata, because polars reads them as bytes. A 16-bit float
///   outside of lists and records also gets the type of 16-bit floats.
/// - Times of day in milliseconds get this unit, even if the stored Arrow schema states another unit.
/// - Decimals of more than 38 digits get the type of 256 bits, and those of at most 38 digits the type of 128 bits, even
///   if the stored Arrow schema states another type.
/// - Decimals of variable length (BYTE_ARRAY) get the type of bytes and a mark in the field's metadata, because polars
///   does not distinguish a decimal of zero bytes from NULL.
/// - Dictionaries of other values than texts get the type of their values. Such a dictionary remains within an extension
///   type.
pub(super) fn annotated(fields: ArrowSchema, file: &SchemaDescriptor) -> ArrowSchema {
    let annotate = |field: ArrowField| {
        let name = field.name.clone();
        let leaves = file.columns().iter().filter(|leaf| leaf.path_in_schema.first() == Some(&name));
        let mut types = leaves.map(|leaf| &leaf.descriptor.primitive_type);
        let field = annotated_field(field, &mut types);
        if field.dtype == ArrowDataType::FixedSizeBinary(2) && readable::has_halves(&field) {
            return ArrowField { dtype: ArrowDataType::Float16, ..field };
        }
        field
    };
    fields.into_iter_values().map(annotate).collect()
}

/// Corrects the leaf fields of a field as [`annotated`] does. `types` yields the Parquet type of each leaf, in the
/// order of the leaves.
fn annotated_field(field: ArrowField, types: &mut dyn Iterator<Item = &PrimitiveType>) -> ArrowField {
    use ArrowDataType as Type;
    // polars reads only dictionaries of texts, and the pages of other ones have plain values
    if let Type::Dictionary(_, values, _) = &field.dtype
        && !matches!(**values, Type::Utf8View)
    {
        return annotated_field(dictionaries::values_field(&field, values), types);
    }
    let mut boxed = |field: &ArrowField| Box::new(annotated_field(field.clone(), types));
    let dtype = match &field.dtype {
        Type::List(item) => Type::List(boxed(item)),
        Type::LargeList(item) => Type::LargeList(boxed(item)),
        Type::FixedSizeList(item, width) => Type::FixedSizeList(boxed(item), *width),
        Type::Map(entries, sorted) => Type::Map(boxed(entries), *sorted),
        Type::Struct(members) => Type::Struct(members.iter().map(|member| *boxed(member)).collect()),
        leaf => {
            let written = types.next();
            let is_bytes = written.is_some_and(|written| written.physical_type == PhysicalType::ByteArray);
            return match (written.and_then(|written| written.logical_type), leaf) {
                (
                    _,
                    Type::Decimal32(digits, scale)
                    | Type::Decimal64(digits, scale)
                    | Type::Decimal(digits, scale)
                    | Type::Decimal256(digits, scale),
                ) if is_bytes => decimal_bytes::marked(&field, Type::BinaryView, (*digits, *scale), true),
                (Some(PrimitiveLogicalType::Float16), Type::FixedSizeBinary(2)) => readable::with_halves(field),
                (Some(PrimitiveLogicalType::Uuid), Type::FixedSizeBinary(16)) => readable::with_uuids(field),
                // polars reads at most 38 digits as this type
                (_, Type::Decimal(digits, scale)) if *digits > MAX_DIGITS => {
                    ArrowField { dtype: Type::Decimal256(*digits, *scale), ..field.clone() }
                }
                // within lists, records and maps, polars reads 128 bits and takes them for 256
                (_, Type::Decimal256(digits, scale)) if *digits <= MAX_DIGITS => {
                    ArrowField { dtype: Type::Decimal(*digits, *scale), ..field.clone() }
                }
                (_, Type::Time32(_)) => ArrowField { dtype: Type::Time32(ArrowTimeUnit::Millisecond), ..field },
                _ => field,
            };
        }
    };
    ArrowField { dtype, ..field }
}

/// Checks that a column has no 96-bit timestamps outside the years 1677 to 2262, because polars replaces them by
/// another timestamp. `kinds` has the physical types of the column's leaves.
///
/// # Errors
/// When the column has such a timestamp.
pub(super) fn check_moments(name: &str, kinds: &[PhysicalType], arrays: &[Box<dyn Array>]) -> Result<(), DatasetError> {
    if kinds.contains(&PhysicalType::Int96) && arrays.iter().any(|array| has_replaced(&**array)) {
        let detail = "a moment of 96 bits lies before 1677-09-22 or after 2262-04-11: write the column as \
                      timestamps in microseconds";
        return Err(DatasetError::Value { column: name.to_owned(), detail });
    }
    Ok(())
}

/// Whether an array, or an array within it, has a timestamp with the number `i64::MAX`. polars writes this number for a
/// 96-bit timestamp that is out of range.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_get_their_annotation_in_the_order_of_the_file() {
        let field = |name: &str, dtype| ArrowField::new(name.into(), dtype, true);
        let bytes = |name: &str, width| field(name, ArrowDataType::FixedSizeBinary(width));
        let seconds = field("t", ArrowDataType::Time32(ArrowTimeUnit::Second));
        let decimal = annotated_field(field("d", ArrowDataType::Decimal(39, 1)), &mut [].iter());
        assert_eq!(decimal.dtype, ArrowDataType::Decimal256(39, 1));
        let list = ArrowDataType::LargeList(Box::new(field("item", ArrowDataType::Decimal256(5, 1))));
        let list = annotated_field(field("l", list), &mut [].iter());
        let ArrowDataType::LargeList(item) = list.dtype else { panic!("{:?}", list.dtype) };
        assert_eq!(item.dtype, ArrowDataType::Decimal(5, 1));
        let item = field("item", ArrowDataType::Struct(vec![bytes("x", 2), bytes("id", 16), bytes("y", 2), seconds]));
        let list = field("l", ArrowDataType::LargeList(Box::new(item)));
        let annotations = [Some(PrimitiveLogicalType::Float16), Some(PrimitiveLogicalType::Uuid), None, None];
        let written = annotations.map(|logical_type| PrimitiveType {
            logical_type,
            ..PrimitiveType::from_physical("leaf".into(), PhysicalType::FixedLenByteArray(16))
        });
        let mut types = written.iter();
        let annotated = annotated_field(list, &mut types);
        let ArrowDataType::LargeList(item) = &annotated.dtype else { panic!("{annotated:?}") };
        let ArrowDataType::Struct(members) = &item.dtype else { panic!("{annotated:?}") };
        assert!(readable::has_halves(&members[0]) && readable::has_uuids(&members[1]));
        assert!(!readable::has_halves(&members[2]) && types.next().is_none());
        // Parquet stores no seconds, although the Arrow schema in its footer may state them
        assert_eq!(members[3].dtype, ArrowDataType::Time32(ArrowTimeUnit::Millisecond));
    }
}
