//! Converts the values of Arrow dictionaries. A dictionary array has a list of values, and for each row the index of
//! the row's value in that list.

use polars::prelude::{ArrowDataType, ArrowField};
use polars_arrow::{
    array::{Array, DictionaryArray, DictionaryKey},
    datatypes::IntegerType,
};

/// The reason why a value can't be converted, as a text without the value.
type Cause = &'static str;
const OTHER_TYPE: Cause = "its dictionary is of another type than its schema states: the file is damaged";
const WIDE_INDEX: Cause =
    "the indexes of its dictionary have 128 bits, which is not supported: write the column without a dictionary";

/// Returns the type of the values of a dictionary. If the values are a dictionary too, returns the type of the inner
/// values. Returns any other type unchanged.
pub(super) fn values_of(dtype: &ArrowDataType) -> &ArrowDataType {
    let mut dtype = dtype;
    while let ArrowDataType::Dictionary(_, values, _) = dtype {
        dtype = values;
    }
    dtype
}

/// Returns a field of the type `values` with the metadata of the dictionary field `dictionary`. Arrow has no field for
/// the values of a dictionary, so marks about the values are in the metadata of the dictionary's field.
pub(super) fn values_field(dictionary: &ArrowField, values: &ArrowDataType) -> ArrowField {
    ArrowField { dtype: values.clone(), ..dictionary.clone() }
}

/// Converts the values of a dictionary array with `convert`, and returns a dictionary of the type `target`.
///
/// # Errors
///
/// When the array is not a dictionary with indexes of the type `key`, the converted values do not fit `target`, or
/// `convert` fails.
pub(super) fn converted(
    array: &dyn Array,
    key: IntegerType,
    target: &ArrowDataType,
    convert: impl FnOnce(&dyn Array) -> Result<Box<dyn Array>, Cause>,
) -> Result<Box<dyn Array>, Cause> {
    match key {
        IntegerType::Int8 => with_keys::<i8>(array, target, convert),
        IntegerType::Int16 => with_keys::<i16>(array, target, convert),
        IntegerType::Int32 => with_keys::<i32>(array, target, convert),
        IntegerType::Int64 => with_keys::<i64>(array, target, convert),
        IntegerType::UInt8 => with_keys::<u8>(array, target, convert),
        IntegerType::UInt16 => with_keys::<u16>(array, target, convert),
        IntegerType::UInt32 => with_keys::<u32>(array, target, convert),
        IntegerType::UInt64 => with_keys::<u64>(array, target, convert),
        IntegerType::Int128 | IntegerType::UInt128 => Err(WIDE_INDEX),
    }
}

fn with_keys<K: DictionaryKey>(
    array: &dyn Array,
    target: &ArrowDataType,
    convert: impl FnOnce(&dyn Array) -> Result<Box<dyn Array>, Cause>,
) -> Result<Box<dyn Array>, Cause> {
    let dictionary: &DictionaryArray<K> = array.as_any().downcast_ref().ok_or(OTHER_TYPE)?;
    let values = convert(&**dictionary.values())?;
    let converted = DictionaryArray::try_new(target.clone(), dictionary.keys().clone(), values);
    converted.map(DictionaryArray::boxed).map_err(|_| OTHER_TYPE)
}
