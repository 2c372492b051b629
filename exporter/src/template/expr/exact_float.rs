//! Converts whole numbers and decimals to floats, and refuses a value whose digits would change.

use polars::prelude::{
    Column, DataType, Expr, Field, Float64Chunked, IntoColumn, IntoSeries, NewChunkedArray, PolarsError, PolarsResult,
    polars_err,
};

use super::numbers::Numbers;
use crate::{dataset::numbers, value::text};

/// The error text for a quotient of whole numbers, if one of them has more digits than a float can hold.
pub(super) const QUOTIENT: &str = "`/` of whole numbers gives a float, and a whole number beyond 2^53 has more digits \
    than a float keeps: make it a decimal, such as `n / 1.0`";
/// The error text for an operation with a float, if its other operand is a whole number or decimal with more digits
/// than a float can hold.
pub(super) const MIXED: &str = "a whole number or decimal meets a float and has more digits than a float keeps, such as \
    a whole number beyond 2^53: round the decimal to fewer digits, make the float a decimal in the source, or write the \
    numbers into columns of their own";

/// The greatest number up to which a 64-bit float represents every whole number exactly.
const MAX_WHOLE: i128 = 1 << 53;
/// The smallest whole number of more than 15 digits. A 64-bit float keeps all digits of a decimal that has at most 15
/// digits.
const MAX_DIGITS: i128 = 1_000_000_000_000_000;
/// The exponent of the largest power of ten that a 64-bit float represents exactly.
const MAX_POWER: usize = 22;

/// Converts an expression of whole numbers, decimals or floats to floats. If no float has the same digits as a value,
/// the calculation fails with the error text `rule`, which is [`QUOTIENT`] or [`MIXED`].
pub(super) fn floats(value: Expr, rule: &'static str) -> Expr {
    let read = move |column: Column| read(&column, rule);
    value.map(read, |_, field| Ok(Field::new(field.name().clone(), DataType::Float64)))
}

fn read(column: &Column, rule: &'static str) -> PolarsResult<Column> {
    let numbers = Numbers::of(column)?;
    let floats = (0..column.len())
        .map(|row| numbers.get(row).map(|number| number.float().ok_or_else(|| refused(rule))).transpose())
        .collect::<PolarsResult<Vec<_>>>()?;
    Ok(Float64Chunked::from_iter_options(column.name().clone(), floats.into_iter()).into_series().into_column())
}

/// Returns the polars error with the text `rule`.
pub(super) fn refused(rule: &'static str) -> PolarsError {
    polars_err!(InvalidOperation: "{}", rule)
}

/// Returns `unscaled` / 10^`scale` as a float, if a quick test shows that the float has the same digits. Otherwise
/// returns None.
pub(super) fn quick(unscaled: i128, scale: usize) -> Option<f64> {
    if scale == 0 && unscaled.abs() <= MAX_WHOLE {
        return Some(unscaled as f64);
    }
    // both numbers are exact doubles, so that the quotient is the nearest double
    let quick = scale <= MAX_POWER && unscaled.abs() < MAX_DIGITS;
    quick.then(|| unscaled as f64 / 10_f64.powi(i32::try_from(scale).unwrap_or_default()))
}

/// Returns the float whose shortest text has the digits of `unscaled` / 10^`scale`. Returns None if there is no such
/// float.
pub(super) fn exact(unscaled: i128, scale: usize) -> Option<f64> {
    quick(unscaled, scale).or_else(|| numbers::parse_float(&written(unscaled, scale)))
}

/// Returns the text of the decimal `unscaled` / 10^`scale`.
pub(super) fn written(unscaled: i128, scale: usize) -> String {
    let mut out = Vec::with_capacity(48);
    text::decimal(&mut out, unscaled, scale);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_the_float_of_its_digits_or_none() {
        for (unscaled, scale, expected) in [
            (1_999, 2, Some(19.99)),
            (-1, 22, Some(-1e-22)),
            (1, 30, Some(1e-30)),
            (9_007_199_254_740_992, 0, Some(9_007_199_254_740_992.0)),
            (9_007_199_254_740_993, 0, None),
            (9_007_199_254_740_994, 0, Some(9_007_199_254_740_994.0)),
            // 2^60 is a double, but its shortest text has other digits
            (1 << 60, 0, None),
            (1_000_000_000_000_000_000, 0, Some(1e18)),
            (i128::from(i64::MAX), 0, None),
            (12_345_678_901_234_567_890, 10, None),
            (10_i128.pow(38) - 1, 0, None),
            (0, 38, Some(0.0)),
        ] {
            assert_eq!(exact(unscaled, scale), expected, "{unscaled} / 10^{scale}");
        }
    }
}
