//! Parses and compares exact decimals of any length as text.
//!
//! Decimals compare as in PostgreSQL: `-Infinity` is less than all numbers, `Infinity` is greater than all numbers,
//! `NaN` is greater than `Infinity`, and `NaN` equals itself.

use std::{borrow::Cow, cmp::Ordering};

/// The maximum absolute value of the exponent of a decimal in scientific notation. It limits the length of the text
/// that [`plain`] returns. A 64-bit float has exponents of at most 324.
const MAX_EXPONENT: i32 = 400;

/// Normalizes the text of a decimal: adds a zero before a leading point, and removes a trailing point. Returns None if
/// the text is not a decimal.
#[must_use]
pub fn parse(text: &str) -> Option<Cow<'_, str>> {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return Some(text.into());
    }
    let (sign, digits) = if let Some(digits) = text.strip_prefix('-') { ("-", digits) } else { ("", text) };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    Some(match (whole, fraction) {
        ("", fraction) => format!("{sign}0.{fraction}").into(),
        (whole, "") if digits.len() > whole.len() => format!("{sign}{whole}").into(),
        _ => text.into(),
    })
}

/// Writes a decimal number without an exponent, with all its digits. Returns None if the text is not a decimal number,
/// or if its exponent exceeds [`MAX_EXPONENT`].
#[must_use]
pub fn plain(text: &str) -> Option<Cow<'_, str>> {
    if let Some(decimal) = parse(text) {
        return Some(decimal);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= MAX_EXPONENT)?;
    let mantissa = parse(mantissa)?;
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", &*mantissa), |positive| ("-", positive));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i32 + exponent;
    let text = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => digits.clone() + &"0".repeat(point - digits.len()),
        Ok(point) if point > 0 => format!("{}.{}", &digits[..point], &digits[point..]),
        _ => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
    };
    let whole_digits = text.find('.').unwrap_or(text.len());
    let zeros = text[..whole_digits - 1].bytes().take_while(|byte| *byte == b'0').count();
    Some(format!("{sign}{}", &text[zeros..]).into())
}

/// Compares two decimals. Both texts must be valid decimals: results of [`parse`], or decimal literals of a filter.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Number::of(left), Number::of(right));
    left.rank.cmp(&right.rank).then_with(|| match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.magnitude(&right),
        (true, true) => right.magnitude(&left),
    })
}

struct Number<'a> {
    /// The position of the value in the sort order of special values: -1 for `-Infinity`, 0 for a finite number, 1 for
    /// `Infinity`, 2 for `NaN`.
    rank: i8,
    negative: bool,
    /// The digits before the decimal point, without leading zeros.
    whole: &'a str,
    /// The digits after the decimal point, without trailing zeros.
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn of(text: &'a str) -> Self {
        let rank = match text {
            "-Infinity" => -1,
            "Infinity" => 1,
            "NaN" => 2,
            _ => 0,
        };
        if rank != 0 {
            return Self { rank, negative: false, whole: "", fraction: "" };
        }
        let digits = text.trim_start_matches('-');
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Self { rank, negative: text.starts_with('-') && !zero, whole, fraction }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let longer = self.whole.len().cmp(&other.whole.len());
        longer.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length_are_parsed_and_other_texts_refused() {
        for (text, expected) in [
            ("12.50", Some("12.50")),
            ("-.5", Some("-0.5")),
            ("5.", Some("5")),
            (
                "0.00000000000000000000000000000000000000000000001",
                Some("0.00000000000000000000000000000000000000000000001"),
            ),
            ("NaN", Some("NaN")),
            ("-Infinity", Some("-Infinity")),
            ("", None),
            (".", None),
            ("-", None),
            ("1e5", None),
            ("+1", None),
            ("1.2.3", None),
            ("1,5", None),
        ] {
            assert_eq!(parse(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_exponent_becomes_zeros() {
        for (text, expected) in [
            ("1e3", Some("1000")),
            ("1.50E+1", Some("15.0")),
            ("-12.5e-3", Some("-0.0125")),
            ("0.05e1", Some("0.5")),
            ("0.5e3", Some("500")),
            ("0e5", Some("0")),
            ("12.50", Some("12.50")),
            ("1e401", None),
            ("e5", None),
            ("1e", None),
            ("NaNe1", None),
            ("12 apples", None),
        ] {
            assert_eq!(plain(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn decimals_compare_as_numbers() {
        let sorted = [
            "-Infinity",
            "-100",
            "-99.5",
            "-0.000000000000000000000001",
            "0",
            "0.000000000000000000000001",
            "0.1",
            "0.12",
            "0.2",
            "9",
            "10",
            "10.5",
            "99999999999999999999999999999999999999999999",
            "Infinity",
            "NaN",
        ];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other), "{left} and {right}");
            }
        }
        for (left, right) in [("1.10", "1.1"), ("-0.0", "0"), ("007", "7")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} and {right}");
        }
    }
}
