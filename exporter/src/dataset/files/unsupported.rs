//! Names the types in Parquet and Arrow IPC files that Sluice does not support, for notes and error texts.

use polars::prelude::ArrowDataType;

/// The name of the list type whose values are all empty lists.
const ZERO_LENGTH: &str = "FixedSizeList of length 0";

/// Returns the name of the type that makes a column unsupported. Also names the lists, records and dictionaries around
/// this type, as in `List of Interval(MonthDayNano)`. `dtype` is the type of the column, which must be unsupported.
pub(super) fn name(dtype: &ArrowDataType) -> String {
    found(dtype).unwrap_or_else(|| {
        let whole = format!("{dtype:?}");
        // the name of the type without its parameters
        whole.split('(').next().unwrap_or(&whole).to_owned()
    })
}

/// Whether a type contains a list of the fixed length 0, at any depth. polars can't read such lists from Arrow IPC.
pub(super) fn has_zero_length(dtype: &ArrowDataType) -> bool {
    found(dtype).is_some_and(|name| name.ends_with(ZERO_LENGTH))
}

/// Whether a type contains a dictionary whose values contain a list of the fixed length 0.
pub(super) fn has_zero_length_in_dictionary(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as Type;
    match dtype {
        Type::Dictionary(_, values, _) => has_zero_length(values),
        Type::List(item) | Type::LargeList(item) | Type::FixedSizeList(item, _) | Type::Map(item, _) => {
            has_zero_length_in_dictionary(&item.dtype)
        }
        Type::Struct(members) => members.iter().any(|member| has_zero_length_in_dictionary(&member.dtype)),
        Type::Union(union) => union.fields.iter().any(|member| has_zero_length_in_dictionary(&member.dtype)),
        _ => false,
    }
}

fn found(dtype: &ArrowDataType) -> Option<String> {
    use ArrowDataType as Type;
    match dtype {
        Type::Union(_) => Some("Union".to_owned()),
        Type::Interval(unit) => Some(format!("Interval({unit:?})")),
        Type::UInt128 => Some("UInt128".to_owned()),
        Type::FixedSizeList(_, 0) => Some(ZERO_LENGTH.to_owned()),
        Type::List(item) | Type::LargeList(item) => Some(format!("List of {}", found(&item.dtype)?)),
        Type::FixedSizeList(item, _) => Some(format!("FixedSizeList of {}", found(&item.dtype)?)),
        Type::Map(entries, _) => {
            Some(format!("Map with {}", found(&entries.dtype)?.trim_start_matches("Struct with ")))
        }
        Type::Struct(members) => {
            let member = members.iter().find_map(|member| found(&member.dtype))?;
            Some(format!("Struct with {member}"))
        }
        Type::Dictionary(_, values, _) => Some(format!("Dictionary of {}", found(values)?)),
        _ => None,
    }
}
