//! Converts text to decimals. Some sources return a decimal as text, so that no digit is lost.

use polars::prelude::{
    Column, DataType, Expr, Field, Int128Chunked, IntoColumn, IntoSeries, NewChunkedArray, PolarsResult, polars_err,
};

/// The maximum number of digits of a decimal, counting the digits before and after the point.
pub(super) const PRECISION: usize = 38;
/// The number of digits after the point in products and quotients of decimals.
pub(super) const SCALE: usize = 10;

/// The error text for a decimal with more digits before its point than [`PRECISION`] minus [`SCALE`].
pub(super) const TOO_LONG: &str = "a decimal has more than 28 digits before its point, which expressions can't keep: use the column itself as a `source`";

/// The error text for a decimal with more than [`SCALE`] digits after its point, if the calculation would drop digits
/// without notice.
pub(super) const TOO_FINE: &str = "a decimal has more than 10 digits after its point, which only `*`, `/`, `round` and \
    `concat` take: write `round(column, 10)`, or use the column itself as a `source`";

/// What a conversion does with digits after the point that do not fit into the decimal type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// The conversion fails with the error [`TOO_FINE`], unless the digits that do not fit are zeros.
    Refused,
    /// The conversion rounds the decimal. A half is rounded away from zero.
    Rounded,
    /// The conversion rounds the decimal. A half is rounded to the even digit, as `round` does.
    RoundedToEven,
}

/// Returns an expression that converts a text column to decimals with `scale` digits after the point. `excess` decides
/// what happens to further digits. A column of another type stays unchanged. The calculation fails with the errors of
/// [`unscaled`].
pub(super) fn from_text(column: Expr, scale: usize, excess: Excess) -> Expr {
    let convert = move |column: Column| read(column, scale, excess);
    column.map(convert, move |_, field| {
        let dtype = match field.dtype() {
            DataType::String => DataType::Decimal(PRECISION, scale),
            other => other.clone(),
        };
        Ok(Field::new(field.name().clone(), dtype))
    })
}

fn read(column: Column, scale: usize, excess: Excess) -> PolarsResult<Column> {
    if column.dtype() != &DataType::String {
        return Ok(column);
    }
    let convert = |text: &str| unscaled(text, scale, excess);
    let values = column.str()?.iter().map(|text| text.map_or(Ok(None), convert)).collect::<PolarsResult<Vec<_>>>()?;
    let values = Int128Chunked::from_iter_options(column.name().clone(), values.into_iter());
    Ok(values.into_decimal(PRECISION, scale)?.into_series().into_column())
}

/// Parses a decimal number, and returns its value times 10^`scale`. `excess` decides what happens to digits after the
/// point beyond the first `scale` digits. Returns None for NaN and infinity.
///
/// # Errors
/// [`TOO_FINE`] if `excess` is [`Excess::Refused`] and such a digit is not zero. [`TOO_LONG`] if the result has more
/// than [`PRECISION`] digits, or the text is not a number.
fn unscaled(text: &str, scale: usize, excess: Excess) -> PolarsResult<Option<i128>> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if matches!(digits, "NaN" | "Infinity") {
        return Ok(None);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (kept, rest) = fraction.split_at_checked(scale).unwrap_or((fraction, ""));
    let padding = std::iter::repeat_n(b'0', scale - kept.len());
    let value = whole.bytes().chain(kept.bytes()).chain(padding).try_fold(0_i128, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    let rest = rest.trim_end_matches('0');
    if excess == Excess::Refused && !rest.is_empty() {
        return Err(polars_err!(InvalidOperation: "{}", TOO_FINE));
    }
    let is_odd = value.is_some_and(|value| value % 2 == 1);
    let up = if rest == "5" { excess == Excess::Rounded || is_odd } else { rest.as_bytes().first() >= Some(&b'5') };
    let value = value.map(|value| value + i128::from(up)).filter(|value| *value < 10_i128.pow(PRECISION as u32));
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
            assert_eq!(unscaled(text, SCALE, Excess::Rounded).unwrap(), expected, "{text}");
        }
        for text in ["12345678901234567890123456789", "x"] {
            assert!(unscaled(text, SCALE, Excess::Rounded).is_err(), "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_scale_are_refused_or_round_once() {
        for (text, scale, to_even) in [
            ("0.015", 2, 2),
            ("0.025", 2, 2),
            // rounded to ten digits first, this would become 0.015 and then 0.02
            ("0.01499999999996", 2, 1),
            ("0.02500000000001", 2, 3),
            ("-0.035", 2, -4),
            ("1.5", 0, 2),
            ("2.5", 0, 2),
            ("0.4", 0, 0),
        ] {
            assert_eq!(unscaled(text, scale, Excess::RoundedToEven).unwrap(), Some(to_even), "{text}");
            let refused = unscaled(text, scale, Excess::Refused).unwrap_err().to_string();
            assert!(refused.contains(TOO_FINE), "{refused}");
        }
        assert_eq!(unscaled("1.500000000000", SCALE, Excess::Refused).unwrap(), Some(15_000_000_000));
    }
}
