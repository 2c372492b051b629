//! Converts text to decimals. Some sources return a decimal as text, so that no digit is lost.

use polars::prelude::{
    Column, DataType, Expr, Field, Int128Chunked, IntoColumn, IntoSeries, NewChunkedArray, PolarsResult, polars_err,
};

use super::typed::{PRECISION, SCALE};

/// The error for a decimal with more digits before its point than [`PRECISION`] minus [`SCALE`].
pub(super) const TOO_LONG: &str = "a decimal has more than 28 digits before its point";

/// Converts a text column to decimals with [`SCALE`] digits after the point. Other columns stay unchanged.
pub(super) fn from_text(column: Expr) -> Expr {
    column.map(read, |_, field| {
        let dtype = match field.dtype() {
            DataType::String => DataType::Decimal(PRECISION, SCALE),
            other => other.clone(),
        };
        Ok(Field::new(field.name().clone(), dtype))
    })
}

fn read(column: Column) -> PolarsResult<Column> {
    if column.dtype() != &DataType::String {
        return Ok(column);
    }
    let values = column.str()?.iter().map(|text| text.map_or(Ok(None), unscaled)).collect::<PolarsResult<Vec<_>>>()?;
    let values = Int128Chunked::from_iter_options(column.name().clone(), values.into_iter());
    Ok(values.into_decimal(PRECISION, SCALE)?.into_series().into_column())
}

/// Parses a decimal, and returns its value times 10^[`SCALE`], rounded half away from zero. Returns None for NaN and
/// infinity.
fn unscaled(text: &str) -> PolarsResult<Option<i128>> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if matches!(digits, "NaN" | "Infinity") {
        return Ok(None);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let kept = &fraction[..fraction.len().min(SCALE)];
    let padding = std::iter::repeat_n(b'0', SCALE - kept.len());
    let round = fraction.as_bytes().get(SCALE).is_some_and(|next| *next >= b'5');
    let value = whole.bytes().chain(kept.bytes()).chain(padding).try_fold(0_i128, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    let value = value.map(|value| value + i128::from(round)).filter(|value| *value < 10_i128.pow(PRECISION as u32));
    let value = value.ok_or_else(|| polars_err!(InvalidOperation: "{}", TOO_LONG))?;
    Ok(Some(if negative { -value } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_decimal_with_ten_digits_after_the_point() {
        for (text, expected) in [
            ("12.5", Some(125_000_000_000)),
            ("-0.00000000005", Some(-1)),
            ("0.00000000004", Some(0)),
            ("7", Some(70_000_000_000)),
            ("NaN", None),
            ("-Infinity", None),
        ] {
            assert_eq!(unscaled(text).unwrap(), expected, "{text}");
        }
        assert!(unscaled("12345678901234567890123456789").is_err() && unscaled("x").is_err());
    }
}
