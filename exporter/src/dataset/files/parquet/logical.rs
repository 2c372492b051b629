//! Handles values that polars misreads in Parquet files. 16-bit floats and UUIDs get the types that their annotations
//! state, because polars ignores these annotations.

use polars::prelude::PlSmallStr;
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, TimeUnit as ArrowTimeUnit};
use polars_parquet::parquet::{
    metadata::SchemaDescriptor,
    schema::types::{PhysicalType, PrimitiveConvertedType, PrimitiveLogicalType, PrimitiveType, TimeUnit},
};

use super::super::{
    decimal_bytes::{self, MAX_DIGITS},
    dictionaries, int96, readable,
};

/// The time zone that polars gives to timestamps with `isAdjustedToUTC = true`.
const UTC: PlSmallStr = PlSmallStr::from_static("+00:00");

/// Corrects the Arrow types `fields` that polars infers for the columns of a Parquet file:
/// - 16-bit floats and UUIDs get a mark in the field's metadata, because polars reads them as bytes. A 16-bit float
///   outside of lists and records also gets the type of 16-bit floats.
/// - Timestamps and times of day get the unit that the Parquet file states, even if the stored Arrow schema states
///   another unit, because polars would take the numbers for another time, drop digits or overflow.
/// - Timestamps whose only annotation is the deprecated `TIMESTAMP_MILLIS` or `TIMESTAMP_MICROS` are in UTC, as the
///   specification of Parquet says, because polars takes them for local times. This applies only if
///   `has_arrow_schema` is false: a stored Arrow schema says itself whether timestamps have a time zone.
/// - Timestamps of 96 bits get the type of bytes and a mark in the field's metadata (see `int96`).
/// - Decimals of more than 38 digits get the type of 256 bits, and those of at most 38 digits the type of 128 bits,
///   even if the stored Arrow schema states another type.
/// - Decimals of variable length (BYTE_ARRAY) and of more than 16 bytes get the type of bytes and a mark in the field's
///   metadata, because polars does not distinguish a decimal of zero bytes from NULL, and reads at most 38 digits from
///   at most 16 bytes.
/// - Dictionaries of other values than texts get the type of their values.
pub(super) fn annotated(fields: ArrowSchema, file: &SchemaDescriptor, has_arrow_schema: bool) -> ArrowSchema {
    let annotate = |field: ArrowField| {
        let name = field.name.clone();
        let leaves = file.columns().iter().filter(|leaf| leaf.path_in_schema.first() == Some(&name));
        let mut types = leaves.map(|leaf| &leaf.descriptor.primitive_type);
        let field = annotated_field(field, &mut types, has_arrow_schema);
        if field.dtype == ArrowDataType::FixedSizeBinary(2) && readable::has_halves(&field) {
            return ArrowField { dtype: ArrowDataType::Float16, ..field };
        }
        field
    };
    fields.into_iter_values().map(annotate).collect()
}

/// Corrects the leaf fields of a field as [`annotated`] does. `types` yields the Parquet type of each leaf, in the
/// order of the leaves.
fn annotated_field(
    field: ArrowField,
    types: &mut dyn Iterator<Item = &PrimitiveType>,
    has_arrow_schema: bool,
) -> ArrowField {
    use ArrowDataType as Type;
    // polars reads only dictionaries of texts, and the pages of other ones have plain values
    if let Type::Dictionary(_, values, _) = &field.dtype
        && !matches!(**values, Type::Utf8View)
    {
        return annotated_field(dictionaries::values_field(&field, values), types, has_arrow_schema);
    }
    let mut boxed = |field: &ArrowField| Box::new(annotated_field(field.clone(), types, has_arrow_schema));
    let dtype = match &field.dtype {
        Type::List(item) => Type::List(boxed(item)),
        Type::LargeList(item) => Type::LargeList(boxed(item)),
        Type::FixedSizeList(item, width) => Type::FixedSizeList(boxed(item), *width),
        Type::Map(entries, sorted) => Type::Map(boxed(entries), *sorted),
        Type::Struct(members) => Type::Struct(members.iter().map(|member| *boxed(member)).collect()),
        leaf => {
            let written = types.next();
            let bytes = written.and_then(|written| decimal_bytes_of(written.physical_type));
            let is_int96 = written.is_some_and(|written| written.physical_type == PhysicalType::Int96);
            let unit = written.and_then(unit);
            if let (
                Some(bytes),
                Type::Decimal32(digits, scale)
                | Type::Decimal64(digits, scale)
                | Type::Decimal(digits, scale)
                | Type::Decimal256(digits, scale),
            ) = (bytes, leaf)
            {
                return decimal_bytes::marked(&field, bytes, (*digits, *scale), true);
            }
            return match (written.and_then(|written| written.logical_type), leaf) {
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
                (_, Type::Timestamp(..)) if is_int96 => int96::marked(field),
                (_, Type::Timestamp(stated, zone)) => {
                    let is_utc = !has_arrow_schema && written.is_some_and(is_converted_timestamp);
                    let zone = zone.clone().or_else(|| is_utc.then_some(UTC));
                    ArrowField { dtype: Type::Timestamp(unit.unwrap_or(*stated), zone), ..field.clone() }
                }
                (_, Type::Time32(_) | Type::Time64(_)) => {
                    ArrowField { dtype: time_of_day(leaf, unit), ..field.clone() }
                }
                _ => field,
            };
        }
    };
    ArrowField { dtype, ..field }
}

/// Returns the Arrow type of bytes as which decimals of a physical type are read. Returns None if polars can read
/// decimals of this physical type.
const fn decimal_bytes_of(physical: PhysicalType) -> Option<ArrowDataType> {
    /// The maximum number of bytes of a decimal that polars can read.
    const POLARS: usize = size_of::<i128>();
    match physical {
        PhysicalType::ByteArray => Some(ArrowDataType::BinaryView),
        PhysicalType::FixedLenByteArray(width) if width > POLARS => Some(ArrowDataType::FixedSizeBinary(width)),
        _ => None,
    }
}

/// Returns the Arrow type for a column of times of day. `unit` is the unit of the Parquet type, and `schema_type` is
/// the type in the stored Arrow schema. Milliseconds have 32 bits, and finer units have 64 bits, in both Parquet and
/// Arrow.
fn time_of_day(schema_type: &ArrowDataType, unit: Option<ArrowTimeUnit>) -> ArrowDataType {
    match (schema_type, unit) {
        (_, Some(ArrowTimeUnit::Millisecond)) | (ArrowDataType::Time32(_), None) => {
            ArrowDataType::Time32(ArrowTimeUnit::Millisecond)
        }
        (_, Some(unit)) => ArrowDataType::Time64(unit),
        (schema_type, None) => schema_type.clone(),
    }
}

/// Returns the unit that a Parquet file states for a leaf of timestamps or times of day; None for any other leaf.
const fn unit(leaf: &PrimitiveType) -> Option<ArrowTimeUnit> {
    use PrimitiveConvertedType as Converted;
    use PrimitiveLogicalType as Logical;
    Some(match (leaf.logical_type, leaf.converted_type) {
        (Some(Logical::Time { unit, .. } | Logical::Timestamp { unit, .. }), _) => match unit {
            TimeUnit::Milliseconds => ArrowTimeUnit::Millisecond,
            TimeUnit::Microseconds => ArrowTimeUnit::Microsecond,
            TimeUnit::Nanoseconds => ArrowTimeUnit::Nanosecond,
        },
        (None, Some(Converted::TimeMillis | Converted::TimestampMillis)) => ArrowTimeUnit::Millisecond,
        (None, Some(Converted::TimeMicros | Converted::TimestampMicros)) => ArrowTimeUnit::Microsecond,
        _ => return None,
    })
}

/// Whether the only annotation of a leaf is the deprecated `TIMESTAMP_MILLIS` or `TIMESTAMP_MICROS`.
const fn is_converted_timestamp(leaf: &PrimitiveType) -> bool {
    use PrimitiveConvertedType::{TimestampMicros, TimestampMillis};
    leaf.logical_type.is_none() && matches!(leaf.converted_type, Some(TimestampMillis | TimestampMicros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_get_their_annotation_in_the_order_of_the_file() {
        let field = |name: &str, dtype| ArrowField::new(name.into(), dtype, true);
        let bytes = |name: &str, width| field(name, ArrowDataType::FixedSizeBinary(width));
        let seconds = field("t", ArrowDataType::Time32(ArrowTimeUnit::Second));
        let decimal = annotated_field(field("d", ArrowDataType::Decimal(39, 1)), &mut [].iter(), false);
        assert_eq!(decimal.dtype, ArrowDataType::Decimal256(39, 1));
        let list = ArrowDataType::LargeList(Box::new(field("item", ArrowDataType::Decimal256(5, 1))));
        let list = annotated_field(field("l", list), &mut [].iter(), false);
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
        let annotated = annotated_field(list, &mut types, false);
        let ArrowDataType::LargeList(item) = &annotated.dtype else { panic!("{annotated:?}") };
        let ArrowDataType::Struct(members) = &item.dtype else { panic!("{annotated:?}") };
        assert!(readable::has_halves(&members[0]) && readable::has_uuids(&members[1]));
        assert!(!readable::has_halves(&members[2]) && types.next().is_none());
        // Parquet stores no seconds, although the Arrow schema in its footer may state them
        assert_eq!(members[3].dtype, ArrowDataType::Time32(ArrowTimeUnit::Millisecond));
    }
}
