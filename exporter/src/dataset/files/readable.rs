//! Converts Arrow arrays of types that polars misreads or does not support. Also converts such arrays within lists,
//! records and dictionaries, at any depth.
//!
//! | type of the file | type that polars gets |
//! |---|---|
//! | 16-bit floats | 32-bit floats |
//! | dates of 64 bits | dates of 32 bits |
//! | timestamps and durations in seconds | in milliseconds |
//! | timestamps of 96 bits (see `int96`) | timestamps |
//! | timestamps with a time zone that polars does not support, such as `+05:30` | in UTC |
//! | times of day | nanoseconds, where a reserved number stands for `24:00:00` |
//! | decimals of 32 and 64 bits | decimals of 128 bits |
//! | decimals of 39 to 76 digits | their exact text |
//! | decimals in bytes (see `decimal_bytes`) | decimals, or their exact text |
//! | UUIDs in lists and records | text |
//! | texts that were read as bytes (see `ipc_layout`) | texts |
//!
//! A value that the type on the right can't hold is an error.

use std::sync::Arc;

use polars::prelude::{ArrowDataType, ArrowField, ArrowTimeUnit, PlSmallStr, TimeZone, pf16};
use polars_arrow::{
    array::{
        Array, FixedSizeBinaryArray, FixedSizeListArray, ListArray, MapArray, MutableBinaryViewArray, PrimitiveArray,
        StructArray,
    },
    offset::Offset,
    types::NativeType,
};
use uuid::Uuid;

use super::{
    super::DatasetError,
    decimal_bytes::{self, DecimalBytes, MAX_DIGITS},
    dictionaries, int96, ipc_layout,
};
use crate::value::infinity;

/// The key in the metadata of an Arrow field that marks 16-byte binary values as UUIDs.
const UUID: PlSmallStr = PlSmallStr::from_static("sluice:uuid");
/// The key in the metadata of an Arrow field that marks two-byte binary values as 16-bit floats. The lower byte comes
/// first.
const HALF: PlSmallStr = PlSmallStr::from_static("sluice:half");
const MILLIS_PER_SECOND: i64 = 1_000;
const MILLIS_PER_DAY: i64 = 86_400_000;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// The reason why a value can't be converted, as a text without the value.
type Cause = &'static str;
const OTHER_TYPE: Cause = "its array is of another type than its schema states: the file is damaged";
const DATE_WITH_TIME: Cause = "a date of 64 bits is no whole day, or too far in the past or future: write the column as timestamps or dates of \
     32 bits";
const FAR_SECONDS: Cause = "a number of seconds is beyond the years that timestamps can show: correct the value, or write the column as \
     integers";
const NO_TIME: Cause = "a time of day is before 00:00 or after 24:00, or it is a number reserved for 24:00: correct the value, or write \
     the column as integers";

fn marked(field: ArrowField, mark: PlSmallStr) -> ArrowField {
    let mut metadata = field.metadata.as_deref().cloned().unwrap_or_default();
    metadata.insert(mark, PlSmallStr::EMPTY);
    ArrowField { metadata: Some(Arc::new(metadata)), ..field }
}

fn has_mark(field: &ArrowField, mark: &PlSmallStr) -> bool {
    field.metadata.as_deref().is_some_and(|metadata| metadata.contains_key(mark))
}

/// Returns the field with a mark that its values are UUIDs. The values must be binary values of 16 bytes.
pub(super) fn with_uuids(field: ArrowField) -> ArrowField {
    marked(field, UUID)
}

/// Whether a field is marked as a field of UUIDs.
pub(super) fn has_uuids(field: &ArrowField) -> bool {
    has_mark(field, &UUID)
}

/// Returns the field with a mark that its values are 16-bit floats. The values must be binary values of two bytes.
pub(super) fn with_halves(field: ArrowField) -> ArrowField {
    marked(field, HALF)
}

/// Whether a field of two-byte binary values is marked as a field of 16-bit floats.
pub(super) fn has_halves(field: &ArrowField) -> bool {
    has_mark(field, &HALF)
}

/// Returns the field with the type to which [`convert`] converts its values.
pub(super) fn field(field: &ArrowField) -> ArrowField {
    ArrowField { dtype: target(field, false), ..field.clone() }
}

/// Returns the type to which [`convert`] converts the values of a field. `is_inner` is true for a field within a list
/// or record. In such a field, marked UUIDs become text, and marked 16-bit floats become 32-bit floats.
fn target(field: &ArrowField, is_inner: bool) -> ArrowDataType {
    use ArrowDataType as Type;
    if let Some(decimals) = DecimalBytes::of(field) {
        return decimals.dtype();
    }
    if let Some(dtype) = int96::timestamps(field) {
        return target(&ArrowField::new(field.name.clone(), dtype, field.is_nullable), is_inner);
    }
    let boxed = |field: &ArrowField| Box::new(inner(field));
    match &field.dtype {
        Type::FixedSizeBinary(16) if is_inner && has_mark(field, &UUID) => Type::Utf8View,
        Type::FixedSizeBinary(2) if is_inner && has_mark(field, &HALF) => Type::Float32,
        Type::Float16 => Type::Float32,
        Type::Date64 => Type::Date32,
        Type::Timestamp(unit, zone) => {
            let unit = if *unit == ArrowTimeUnit::Second { ArrowTimeUnit::Millisecond } else { *unit };
            Type::Timestamp(unit, zone.as_ref().map(known_zone))
        }
        Type::Duration(ArrowTimeUnit::Second) => Type::Duration(ArrowTimeUnit::Millisecond),
        Type::Time32(_) | Type::Time64(_) => Type::Time64(ArrowTimeUnit::Nanosecond),
        Type::Decimal32(digits, scale) | Type::Decimal64(digits, scale) => Type::Decimal(*digits, *scale),
        Type::Decimal256(digits, _) if *digits > MAX_DIGITS => Type::Utf8View,
        Type::List(field) => Type::List(boxed(field)),
        Type::LargeList(field) => Type::LargeList(boxed(field)),
        Type::FixedSizeList(field, width) => Type::FixedSizeList(boxed(field), *width),
        Type::Map(field, sorted) => Type::Map(boxed(field), *sorted),
        Type::Struct(fields) => Type::Struct(fields.iter().map(inner).collect()),
        Type::Dictionary(key, values, ordered) => {
            let values = target(&dictionaries::values_field(field, values), is_inner);
            Type::Dictionary(*key, Box::new(values), *ordered)
        }
        other => other.clone(),
    }
}

/// Returns the field with the type to which [`convert`] converts its values. The field must be within a list or record.
fn inner(field: &ArrowField) -> ArrowField {
    ArrowField { dtype: target(field, true), ..field.clone() }
}

/// Returns the time zone if polars supports it, and UTC otherwise. A timestamp with a time zone counts from the epoch
/// in UTC, so another zone changes only how a program may show the timestamp.
fn known_zone(zone: &PlSmallStr) -> PlSmallStr {
    let is_known = TimeZone::opt_try_new(Some(zone.clone())).is_ok();
    if is_known { zone.clone() } else { PlSmallStr::from_static("UTC") }
}

/// Whether a type contains times of day of 64 bits, at any depth. [`convert`] checks every time of day, even if its
/// type does not change.
fn has_times(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as Type;
    match dtype {
        Type::Time64(_) => true,
        Type::List(field) | Type::LargeList(field) | Type::FixedSizeList(field, _) | Type::Map(field, _) => {
            has_times(&field.dtype)
        }
        Type::Struct(fields) => fields.iter().any(|field| has_times(&field.dtype)),
        Type::Dictionary(_, values, _) => has_times(values),
        _ => false,
    }
}

/// Converts an array of the field `from` to the type that [`field`] returns. `read` is the type with which polars read
/// the array. It is the type of `from`, or the type that [`ipc_layout`] returns for it.
///
/// # Errors
/// When the type that [`field`] returns can't hold a value, or the array has another type than `read`.
pub(super) fn convert(
    from: &ArrowField,
    read: &ArrowDataType,
    array: Box<dyn Array>,
) -> Result<Box<dyn Array>, DatasetError> {
    let to = field(from);
    if to.dtype == from.dtype && *read == from.dtype && !has_times(&from.dtype) {
        return Ok(array);
    }
    converted(from, &to, &*array).map_err(|detail| DatasetError::Value { column: from.name.to_string(), detail })
}

fn converted(from: &ArrowField, to: &ArrowField, array: &dyn Array) -> Result<Box<dyn Array>, Cause> {
    use ArrowDataType as Type;
    let target = &to.dtype;
    if let Some(decimals) = DecimalBytes::of(from) {
        return decimals.convert(array);
    }
    if int96::timestamps(from).is_some() {
        return int96::convert(array, target);
    }
    match (&from.dtype, target) {
        (Type::Utf8 | Type::LargeUtf8 | Type::Utf8View, _) => ipc_layout::texts(array),
        (Type::Dictionary(_, from_values, _), Type::Dictionary(key, to_values, _)) => {
            let from = dictionaries::values_field(from, from_values);
            let to = dictionaries::values_field(to, to_values);
            dictionaries::converted(array, *key, target, |values| converted(&from, &to, values))
        }
        (Type::Float16, _) => map(array, target, |half: pf16| Ok(f32::from(half))),
        (Type::FixedSizeBinary(2), Type::Float32) => Ok(halves(cast(array)?)),
        (Type::FixedSizeBinary(16), Type::Utf8View) => Ok(uuids(cast(array)?)),
        (Type::Date64, _) => map(array, target, days),
        (Type::Timestamp(ArrowTimeUnit::Second, _) | Type::Duration(ArrowTimeUnit::Second), _) => {
            map(array, target, |seconds: i64| seconds.checked_mul(MILLIS_PER_SECOND).ok_or(FAR_SECONDS))
        }
        (Type::Timestamp(..), _) => Ok(cast::<PrimitiveArray<i64>>(array)?.clone().to(target.clone()).boxed()),
        (Type::Decimal32(..) | Type::Decimal64(..), _) => decimals(array, target),
        (Type::Time32(unit), _) => map(array, target, |time: i32| nanos(i64::from(time), *unit)),
        (Type::Time64(unit), _) => map(array, target, |time: i64| nanos(time, *unit)),
        (Type::Decimal256(_, scale), Type::Utf8View) => Ok(decimal_bytes::texts(cast(array)?, *scale)),
        (Type::List(from), Type::List(to)) => list::<i32>(from, to, target, array),
        (Type::LargeList(from), Type::LargeList(to)) => list::<i64>(from, to, target, array),
        (Type::FixedSizeList(from, _), Type::FixedSizeList(to, _)) => {
            let list: &FixedSizeListArray = cast(array)?;
            let values = converted(from, to, &**list.values())?;
            built(FixedSizeListArray::try_new(target.clone(), list.len(), values, list.validity().cloned()))
        }
        (Type::Map(from, _), Type::Map(to, _)) => {
            let map: &MapArray = cast(array)?;
            let entries = converted(from, to, &**map.field())?;
            built(MapArray::try_new(target.clone(), map.offsets().clone(), entries, map.validity().cloned()))
        }
        (Type::Struct(from), Type::Struct(to)) => {
            let record: &StructArray = cast(array)?;
            let members = from.iter().zip(to).zip(record.values());
            let members = members.map(|((from, to), member)| converted(from, to, &**member));
            let members = members.collect::<Result<_, _>>()?;
            built(StructArray::try_new(target.clone(), record.len(), members, record.validity().cloned()))
        }
        _ => Ok(array.to_boxed()),
    }
}

fn cast<A: Array>(array: &dyn Array) -> Result<&A, Cause> {
    array.as_any().downcast_ref().ok_or(OTHER_TYPE)
}

fn built<A: Array, E>(array: Result<A, E>) -> Result<Box<dyn Array>, Cause> {
    array.map(|array| Box::new(array) as Box<dyn Array>).map_err(|_| OTHER_TYPE)
}

/// Converts each value that is not NULL with `to`. The returned array has the type `target`.
fn map<T: NativeType, U: NativeType>(
    array: &dyn Array,
    target: &ArrowDataType,
    to: impl Fn(T) -> Result<U, Cause>,
) -> Result<Box<dyn Array>, Cause> {
    let array: &PrimitiveArray<T> = cast(array)?;
    let values = array.iter().map(|value| value.map_or(Ok(U::default()), |value| to(*value)));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    built(PrimitiveArray::try_new(target.clone(), values.into(), array.validity().cloned()))
}

fn list<O: Offset>(
    from: &ArrowField,
    to: &ArrowField,
    target: &ArrowDataType,
    array: &dyn Array,
) -> Result<Box<dyn Array>, Cause> {
    let list: &ListArray<O> = cast(array)?;
    let values = converted(from, to, &**list.values())?;
    built(ListArray::try_new(target.clone(), list.offsets().clone(), values, list.validity().cloned()))
}

/// Converts decimals of 32 or 64 bits to decimals of 128 bits. For Parquet files, polars has already read such decimals
/// as 128 bits, and this function changes only the type of the array.
fn decimals(array: &dyn Array, target: &ArrowDataType) -> Result<Box<dyn Array>, Cause> {
    let any = array.as_any();
    if any.is::<PrimitiveArray<i32>>() {
        return map(array, target, |number: i32| Ok(i128::from(number)));
    }
    if any.is::<PrimitiveArray<i64>>() {
        return map(array, target, |number: i64| Ok(i128::from(number)));
    }
    Ok(cast::<PrimitiveArray<i128>>(array)?.clone().to(target.clone()).boxed())
}

/// Converts milliseconds since 1970-01-01 to days. Returns an error if the milliseconds are not a whole number of days,
/// or the days do not fit 32 bits.
fn days(millis: i64) -> Result<i32, Cause> {
    let days = i32::try_from(millis.div_euclid(MILLIS_PER_DAY)).map_err(|_| DATE_WITH_TIME)?;
    if millis.rem_euclid(MILLIS_PER_DAY) == 0 { Ok(days) } else { Err(DATE_WITH_TIME) }
}

/// Converts a time of day, given as a number of `unit` since midnight, to nanoseconds. Converts `24:00:00` to the
/// reserved number [`infinity::END_OF_DAY`]. Returns an error for a negative time, a time after `24:00:00`, and the
/// reserved number itself.
fn nanos(time: i64, unit: ArrowTimeUnit) -> Result<i64, Cause> {
    let factor = match unit {
        ArrowTimeUnit::Second => 1_000_000_000,
        ArrowTimeUnit::Millisecond => 1_000_000,
        ArrowTimeUnit::Microsecond => 1_000,
        ArrowTimeUnit::Nanosecond => 1,
    };
    match time.checked_mul(factor) {
        Some(NANOS_PER_DAY) => Ok(infinity::END_OF_DAY),
        Some(nanos) if (0..NANOS_PER_DAY).contains(&nanos) && nanos != infinity::END_OF_DAY => Ok(nanos),
        _ => Err(NO_TIME),
    }
}

fn halves(array: &FixedSizeBinaryArray) -> Box<dyn Array> {
    let wide: PrimitiveArray<f32> = array
        .iter()
        .map(|half| match half {
            Some([low, high]) => Some(f32::from(pf16::from_bits(u16::from_le_bytes([*low, *high])))),
            _ => None,
        })
        .collect();
    wide.boxed()
}

fn uuids(array: &FixedSizeBinaryArray) -> Box<dyn Array> {
    let texts = array.iter().map(|bytes| {
        let uuid = bytes.and_then(|bytes| Uuid::from_slice(bytes).ok());
        uuid.map(|uuid| uuid.hyphenated().to_string())
    });
    texts.collect::<MutableBinaryViewArray<str>>().freeze().boxed()
}

#[cfg(test)]
mod tests {
    use polars_arrow::{array::Utf8ViewArray, types::i256};

    use super::*;

    fn single<T: NativeType>(dtype: ArrowDataType, value: T) -> Result<Box<dyn Array>, DatasetError> {
        let array = PrimitiveArray::new(dtype.clone(), vec![value, T::default()].into(), Some([true, false].into()));
        convert(&ArrowField::new("c".into(), dtype.clone(), true), &dtype, array.boxed())
    }

    fn number<T: NativeType>(converted: Result<Box<dyn Array>, DatasetError>) -> Result<T, String> {
        let array = converted.map_err(|e| e.to_string())?;
        let array = array.as_any().downcast_ref::<PrimitiveArray<T>>().unwrap();
        assert!(array.is_null(1), "NULL stays");
        Ok(array.value(0))
    }

    #[test]
    fn times_of_day_become_nanoseconds_and_end_at_24_00() {
        use ArrowTimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let short = |unit, value: i32| number::<i64>(single(ArrowDataType::Time32(unit), value));
        let long = |unit, value: i64| number::<i64>(single(ArrowDataType::Time64(unit), value));
        assert_eq!(short(Second, 3_600), Ok(3_600_000_000_000));
        assert_eq!(short(Millisecond, 1), Ok(1_000_000));
        assert_eq!(long(Microsecond, 1), Ok(1_000));
        assert_eq!(long(Nanosecond, 86_399_999_999_999), Ok(86_399_999_999_999));
        for end in [
            short(Second, 86_400),
            short(Millisecond, 86_400_000),
            long(Microsecond, 86_400_000_000),
            long(Nanosecond, NANOS_PER_DAY),
        ] {
            assert_eq!(end, Ok(infinity::END_OF_DAY));
        }
        for wrong in [
            short(Second, 86_401),
            short(Millisecond, -1),
            long(Microsecond, i64::MAX),
            long(Nanosecond, infinity::END_OF_DAY),
        ] {
            assert!(wrong.as_ref().is_err_and(|e| e.starts_with("column `c`: a time of day")), "{wrong:?}");
        }
    }

    #[test]
    fn seconds_and_dates_of_64_bits_are_exact_or_refused() {
        let seconds = ArrowDataType::Timestamp(ArrowTimeUnit::Second, None);
        assert_eq!(number::<i64>(single(seconds.clone(), -62_135_596_800_i64)), Ok(-62_135_596_800_000));
        for far in [1_i64 << 62, i64::MIN, i64::MAX / MILLIS_PER_SECOND + 1] {
            let error = number::<i64>(single(seconds.clone(), far)).unwrap_err();
            assert!(error.starts_with("column `c`: a number of seconds"), "{error}");
            assert!(number::<i64>(single(ArrowDataType::Duration(ArrowTimeUnit::Second), far)).is_err());
        }
        assert_eq!(number::<i32>(single(ArrowDataType::Date64, -MILLIS_PER_DAY)), Ok(-1));
        for wrong in [1, MILLIS_PER_DAY - 1, i64::MAX - i64::MAX % MILLIS_PER_DAY] {
            let error = number::<i32>(single(ArrowDataType::Date64, wrong)).unwrap_err();
            assert!(error.starts_with("column `c`: a date of 64 bits"), "{error}");
        }
    }

    #[test]
    fn zones_that_polars_does_not_know_become_utc() {
        for unit in [ArrowTimeUnit::Second, ArrowTimeUnit::Microsecond] {
            for (zone, known) in [("+05:30", "UTC"), ("Z", "UTC"), ("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC")] {
                let converted = single(ArrowDataType::Timestamp(unit, Some(zone.into())), 7_i64).unwrap();
                let (unit, moment) =
                    if unit == ArrowTimeUnit::Second { (ArrowTimeUnit::Millisecond, 7_000) } else { (unit, 7) };
                assert_eq!(converted.dtype(), &ArrowDataType::Timestamp(unit, Some(known.into())), "{zone}");
                assert_eq!(number::<i64>(Ok(converted)), Ok(moment), "{zone}");
            }
        }
    }

    #[test]
    fn short_decimals_become_decimals_of_128_bits_in_lists_too() {
        assert_eq!(number::<i128>(single(ArrowDataType::Decimal32(9, 2), -150_i32)), Ok(-150));
        assert_eq!(number::<i128>(single(ArrowDataType::Decimal64(18, 2), 150_i64)), Ok(150));
        let item = ArrowField::new("item".into(), ArrowDataType::Decimal64(18, 2), true);
        let list = ArrowField::new("l".into(), ArrowDataType::List(Box::new(item.clone())), true);
        let values = PrimitiveArray::new(item.dtype, vec![150_i64].into(), None).boxed();
        let array = ListArray::<i32>::new(list.dtype.clone(), vec![0, 1].try_into().unwrap(), values, None).boxed();
        let converted = convert(&list, &list.dtype, array).unwrap();
        let items = converted.as_any().downcast_ref::<ListArray<i32>>().unwrap().value(0);
        assert_eq!(items.dtype(), &ArrowDataType::Decimal(18, 2));
    }

    #[test]
    fn long_decimals_become_their_exact_text() {
        let converted = single(ArrowDataType::Decimal256(76, 40), i256::from_words(1, 0)).unwrap();
        let texts = converted.as_any().downcast_ref::<Utf8ViewArray>().unwrap();
        // 2^128 has 39 digits
        assert_eq!(texts.value(0), "0.0340282366920938463463374607431768211456");
        assert!(texts.is_null(1));
    }

    #[test]
    fn values_in_lists_and_records_are_converted_too() {
        let bytes = |name: &str, width| ArrowField::new(name.into(), ArrowDataType::FixedSizeBinary(width), true);
        let members = vec![with_uuids(bytes("id", 16)), with_halves(bytes("x", 2)), bytes("other", 2)];
        let record = ArrowDataType::Struct(members.clone());
        let column = |member: &ArrowField, values: Vec<u8>| {
            FixedSizeBinaryArray::new(member.dtype.clone(), values.into(), None).boxed()
        };
        let values = vec![
            column(&members[0], (1..=16).collect()),
            column(&members[1], vec![0, 0x3e]),
            column(&members[2], vec![0, 0x3e]),
        ];
        let record_array = StructArray::new(record.clone(), 1, values, None).boxed();
        let item = ArrowField::new("item".into(), record, true);
        let list = ArrowField::new("l".into(), ArrowDataType::LargeList(Box::new(item)), true);
        let offsets = vec![0_i64, 1].try_into().unwrap();
        let array = ListArray::<i64>::new(list.dtype.clone(), offsets, record_array, None).boxed();
        let converted = convert(&list, &list.dtype, array).unwrap();
        assert_eq!(converted.dtype(), &field(&list).dtype);
        let items = converted.as_any().downcast_ref::<ListArray<i64>>().unwrap().value(0);
        let record = items.as_any().downcast_ref::<StructArray>().unwrap();
        let ids = record.values()[0].as_any().downcast_ref::<Utf8ViewArray>().unwrap();
        assert_eq!(ids.value(0), "01020304-0506-0708-090a-0b0c0d0e0f10");
        assert_eq!(record.values()[1].as_any().downcast_ref::<PrimitiveArray<f32>>().unwrap().value(0), 1.5);
        assert_eq!(record.values()[2].dtype(), &ArrowDataType::FixedSizeBinary(2));
    }
}
