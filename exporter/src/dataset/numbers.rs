//! Converts numbers, and texts of numbers, to the types of columns. The numbers come from text files and from SQLite,
//! where a stored number may have another type than its column. A conversion keeps the exact value, or returns None if
//! the target type can't hold the value.

use std::borrow::Cow;

use protocol::decimal::{self, plain};

use crate::value::text;

/// Returns the shortest text that parses back to the 64-bit float `real`. The text that SQLite writes has only 15
/// digits, and may parse to another float.
pub(in crate::dataset) fn shortest(real: f64) -> String {
    let mut out = Vec::with_capacity(24);
    text::float(&mut out, real);
    String::from_utf8(out).unwrap_or_default()
}

/// Returns the [`shortest`] text of a double, but without an exponent. Values that are not finite are `NaN`, `Infinity`
/// and `-Infinity`.
pub(crate) fn decimal_text(real: f64) -> String {
    match real {
        _ if real.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => {
            let text = shortest(real);
            plain(&text).map_or_else(|| text.clone(), Cow::into_owned)
        }
    }
}

/// Returns a double as a 64-bit integer; None if the double has a fraction, or is too large or too small for such an
/// integer.
pub(in crate::dataset) fn whole(real: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (real.fract() == 0.0 && (-LIMIT..LIMIT).contains(&real)).then_some(real as i64)
}

/// Returns a whole number as a double; None if no double has exactly this value.
pub(in crate::dataset) fn double(number: i64) -> Option<f64> {
    let real = number as f64;
    (real as i128 == i128::from(number)).then_some(real)
}

/// Parses the text of a 64-bit integer. Returns None for any other text. Also returns None for leading zeros, a plus
/// sign and `-0`, because an export would write such a number as another text.
pub(in crate::dataset) fn parse_int(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (itoa::Buffer::new().format(number) == text).then_some(number)
}

/// Parses the text of a double, including words such as `inf` and `NaN`. Returns None for any other text, and for a
/// number that is too large or has more digits than a double keeps.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let real: f64 = text.parse().ok()?;
    if real.is_finite() {
        return decimal::compare(&plain(text)?, &decimal_text(real)).is_eq().then_some(real);
    }
    // `1e999` also parses as an infinity, but only words such as `inf` and `NaN` end with a letter
    text.ends_with(|c: char| c.is_ascii_alphabetic()).then_some(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_written_with_all_digits_that_it_needs() {
        for (real, text, plain) in [
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
            (123_456_789.123_456_79, "123456789.12345679", "123456789.12345679"),
            (1.0 / 3.0, "0.3333333333333333", "0.3333333333333333"),
            (f64::INFINITY, "INF", "Infinity"),
            (f64::NEG_INFINITY, "-INF", "-Infinity"),
        ] {
            assert_eq!((shortest(real).as_str(), decimal_text(real).as_str()), (text, plain));
        }
        for real in [5e-324, f64::MAX, -1e-300, 1e22, 18_446_744_073_709_551_615.0, -0.0] {
            let text = decimal_text(real);
            assert!(!text.contains(['e', 'E']), "{text}");
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), real.to_bits(), "{text}");
        }
    }

    #[test]
    fn a_number_that_another_type_does_not_keep_is_refused() {
        assert_eq!(whole(5.0), Some(5));
        assert_eq!(whole(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        for real in [1.5, f64::INFINITY, f64::NAN, 18_446_744_073_709_551_615.0, 9_223_372_036_854_775_808.0] {
            assert_eq!(whole(real), None, "{real}");
        }
        assert_eq!(double(1 << 53), Some(9_007_199_254_740_992.0));
        assert_eq!((double((1 << 53) + 1), double(i64::MAX), double(i64::MIN).is_some()), (None, None, true));
        for (text, number) in
            [("5", Some(5)), ("-5", Some(-5)), ("007", None), ("+5", None), ("-0", None), ("5 ", None)]
        {
            assert_eq!(parse_int(text), number, "{text}");
        }
        for (text, number) in [
            ("1.10", Some(1.1)),
            ("1e3", Some(1000.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e999", None),
            ("0.1234567890123456789", None),
            ("9007199254740993", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(parse_float(text), number, "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
    }
}
