//! Decodes the timestamps of 96 bits (INT96) of Parquet files exactly. polars replaces a timestamp that its own
//! type can't hold, and drops digits that are finer than the unit of its own type.

use std::sync::Arc;

use polars::prelude::{ArrowDataType, ArrowField, ArrowTimeUnit, PlSmallStr};
use polars_arrow::array::{Array, FixedSizeBinaryArray, PrimitiveArray};

/// The metadata key that marks a field whose values are timestamps of 96 bits. The metadata value states the unit of
/// the timestamps that polars gets, and after a space their time zone.
const INT96: PlSmallStr = PlSmallStr::from_static("sluice:int96");
/// The number of bytes of a timestamp of 96 bits.
pub(super) const BYTES: usize = 12;
/// The Julian day number of 1970-01-01.
const EPOCH: i128 = 2_440_588;
const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The reason why a value can't be converted, as a text without the value.
type Cause = &'static str;
const OTHER_TYPE: Cause = "its array is of another type than its schema states: the file is damaged";
const FAR: Cause = "a moment of 96 bits lies before 1677-09-22 or after 2262-04-11: write the column as timestamps in \
     microseconds";
const TOO_FAR: Cause =
    "a moment of 96 bits is beyond the years that timestamps can show: correct the value, or write the column as text";
const TOO_FINE: Cause = "a moment of 96 bits has more digits than the unit of time in the stored Arrow schema: write the column as \
     timestamps in nanoseconds";

/// Returns the field with the type bytes, and with metadata that mark its values as timestamps of 96 bits. If the type
/// of the field is not a timestamp, returns the field unchanged.
pub(super) fn marked(field: ArrowField) -> ArrowField {
    let ArrowDataType::Timestamp(unit, zone) = &field.dtype else { return field };
    let unit = match unit {
        ArrowTimeUnit::Second => "s",
        ArrowTimeUnit::Millisecond => "ms",
        ArrowTimeUnit::Microsecond => "us",
        ArrowTimeUnit::Nanosecond => "ns",
    };
    let mut metadata = field.metadata.as_deref().cloned().unwrap_or_default();
    metadata.insert(INT96, format!("{unit} {}", zone.as_deref().unwrap_or_default()).into());
    ArrowField { dtype: ArrowDataType::FixedSizeBinary(BYTES), metadata: Some(Arc::new(metadata)), ..field }
}

/// Returns the type of the timestamps of a field that [`marked`] returned; None for any other field.
pub(super) fn timestamps(field: &ArrowField) -> Option<ArrowDataType> {
    if field.dtype != ArrowDataType::FixedSizeBinary(BYTES) {
        return None;
    }
    let (unit, zone) = field.metadata.as_deref()?.get(&INT96)?.split_once(' ')?;
    let unit = match unit {
        "s" => ArrowTimeUnit::Second,
        "ms" => ArrowTimeUnit::Millisecond,
        "us" => ArrowTimeUnit::Microsecond,
        "ns" => ArrowTimeUnit::Nanosecond,
        _ => return None,
    };
    Some(ArrowDataType::Timestamp(unit, (!zone.is_empty()).then(|| zone.into())))
}

/// Converts timestamps of 96 bits to timestamps of the type `target`.
///
/// # Errors
/// When the array holds other values than timestamps of 96 bits, or when `target` can't hold a timestamp exactly.
pub(super) fn convert(array: &dyn Array, target: &ArrowDataType) -> Result<Box<dyn Array>, Cause> {
    let ArrowDataType::Timestamp(unit, _) = target else { return Err(OTHER_TYPE) };
    let (nanos, far) = match unit {
        ArrowTimeUnit::Second => (1_000_000_000, TOO_FAR),
        ArrowTimeUnit::Millisecond => (1_000_000, TOO_FAR),
        ArrowTimeUnit::Microsecond => (1_000, TOO_FAR),
        ArrowTimeUnit::Nanosecond => (1, FAR),
    };
    let array: &FixedSizeBinaryArray = array.as_any().downcast_ref().ok_or(OTHER_TYPE)?;
    let number = |bytes: &[u8]| {
        let moment = since_epoch(bytes).ok_or(OTHER_TYPE)?;
        if moment % nanos != 0 {
            return Err(TOO_FINE);
        }
        i64::try_from(moment / nanos).map_err(|_| far)
    };
    let numbers = array.iter().map(|bytes| bytes.map(number).transpose());
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    Ok(PrimitiveArray::<i64>::from(numbers).to(target.clone()).boxed())
}

/// Decodes a timestamp of 96 bits: the nanoseconds since midnight, and then the Julian day. Both are unsigned and have the
/// least significant byte first. Returns the nanoseconds since 1970-01-01; None for another number of bytes.
fn since_epoch(bytes: &[u8]) -> Option<i128> {
    let (nanos, day) = bytes.split_at_checked(size_of::<u64>())?;
    let nanos = u64::from_le_bytes(nanos.try_into().ok()?);
    let day = u32::from_le_bytes(day.try_into().ok()?);
    Some((i128::from(day) - EPOCH) * NANOS_PER_DAY + i128::from(nanos))
}
