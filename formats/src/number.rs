//! Writes numbers as text in the style of a column: rounds them, groups their digits and replaces the decimal mark. The
//! input is exact decimal text.

use std::borrow::Cow;

use super::value_style::NumberStyle;

/// The number of significant digits that a spreadsheet keeps. A spreadsheet rounds longer numbers.
pub(crate) const SPREADSHEET_DIGITS: usize = 15;

/// The result of [`write`]. It states whether a spreadsheet may treat the appended text as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberText {
    /// A spreadsheet may treat the text as a number, because it keeps all its digits, or because the style permits
    /// rounding.
    Number,
    /// A spreadsheet must keep the text as text, because it would round the number, and the style forbids rounding.
    Digits,
}

/// The maximum absolute value of the exponent of a number that [`write`] rounds. For example, the exponent of `1.5e-7`
/// is -7. A number with a larger exponent is not rounded.
const MAX_EXPONENT: usize = 400;

/// Appends the decimal number `text`, such as `-12.50`, in a style. Returns whether a spreadsheet may treat the
/// appended text as a number. The number is rounded half away from zero, by its decimal digits. If a number with an
/// exponent is not rounded, only its decimal mark changes.
pub(crate) fn write(out: &mut Vec<u8>, text: &[u8], style: &NumberStyle) -> NumberText {
    let text = &*match style.decimals.and_then(|_| without_exponent(text)) {
        Some(plain) => Cow::Owned(plain),
        None => Cow::Borrowed(text),
    };
    let (negative, unsigned) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !unsigned.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        out.extend(text.iter().map(|byte| if *byte == b'.' { style.decimal_mark } else { *byte }));
        return NumberText::Number;
    }
    let point = unsigned.iter().position(|byte| *byte == b'.').unwrap_or(unsigned.len());
    let (whole, fraction) = (&unsigned[..point], unsigned.get(point + 1..).unwrap_or_default());
    let kept = style.decimals.map_or(fraction.len(), usize::from);

    // append the sign, a zero for a possible carry, the whole part and the kept digits of the fraction
    let begin = out.len();
    let carry = begin + 1;
    out.extend_from_slice(b"-0");
    out.extend_from_slice(whole);
    out.extend_from_slice(&fraction[..kept.min(fraction.len())]);
    out.resize(carry + 1 + whole.len() + kept, b'0');
    if fraction.get(kept).is_some_and(|next| *next >= b'5') {
        for digit in out[carry..].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    if out[carry] == b'0' {
        out.remove(carry);
    }
    // a number that is rounded to zero has no sign
    let zero = style.decimals.is_some() && out[carry..].iter().all(|digit| *digit == b'0');
    if !negative || zero {
        out.remove(begin);
    }
    let first = begin + usize::from(negative && !zero);
    let significant = out[first..].iter().skip_while(|digit| **digit == b'0').count();
    let point = out.len() - kept;
    if kept > 0 {
        out.insert(point, style.decimal_mark);
    }
    if let Some(mark) = style.grouping {
        let mark = mark.encode_utf8(&mut [0; 4]).as_bytes().to_owned();
        let mut at = point;
        while at > first + 3 {
            at -= 3;
            out.splice(at..at, mark.iter().copied());
        }
    }
    if style.digits_as_text && significant > SPREADSHEET_DIGITS { NumberText::Digits } else { NumberText::Number }
}

/// Returns a number with an exponent, such as `-1.5e-7`, as digits without an exponent. Returns None if the absolute
/// value of the exponent exceeds [`MAX_EXPONENT`], and for any other text.
fn without_exponent(text: &[u8]) -> Option<Vec<u8>> {
    let at = text.iter().position(|byte| matches!(byte, b'e' | b'E'))?;
    let exponent: i32 = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
    let shift = usize::try_from(exponent.unsigned_abs()).ok().filter(|shift| *shift <= MAX_EXPONENT)?;
    let (sign, mantissa) = match text[..at].strip_prefix(b"-") {
        Some(mantissa) => (&b"-"[..], mantissa),
        None => (&b""[..], &text[..at]),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    let mut digits = [&mantissa[..point], fraction].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut point = point;
    if exponent < 0 {
        let zeros = (shift + 1).saturating_sub(point);
        digits.splice(0..0, std::iter::repeat_n(b'0', zeros));
        point = point + zeros - shift;
    } else {
        point += shift;
        digits.resize(digits.len().max(point), b'0');
    }
    Some([sign, &digits[..point], b".", &digits[point..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_grouped_and_marked_exactly() {
        for (text, decimals, grouping, mark, expected) in [
            ("1234567.891", None, None, b'.', "1234567.891"),
            ("1234567.891", None, None, b',', "1234567,891"),
            ("1234567.891", Some(2), Some('.'), b',', "1.234.567,89"),
            ("-1234567", Some(2), Some('\''), b'.', "-1'234'567.00"),
            ("0.005", Some(2), None, b'.', "0.01"),
            ("-0.004", Some(2), None, b'.', "0.00"),
            ("-0.005", Some(2), None, b'.', "-0.01"),
            ("999.995", Some(2), Some(','), b'.', "1,000.00"),
            ("999", Some(0), Some(','), b'.', "999"),
            ("9.5", Some(0), None, b'.', "10"),
            ("-1", None, None, b',', "-1"),
            ("0", Some(3), None, b',', "0,000"),
            ("-0.0", None, None, b',', "-0,0"),
            ("1e300", None, Some('.'), b',', "1e300"),
            ("1e9", Some(2), Some('.'), b',', "1.000.000.000,00"),
            ("-1.25e3", Some(0), None, b'.', "-1250"),
            ("1.5e-7", Some(2), None, b'.', "0.00"),
            ("1.5e-7", Some(7), None, b'.', "0.0000002"),
            ("-1.25e-1", Some(2), None, b'.', "-0.13"),
            ("1.005", Some(2), None, b'.', "1.01"),
            ("2.675", Some(2), None, b'.', "2.68"),
            ("-0.5", Some(0), None, b'.', "-1"),
            ("1e999", Some(2), None, b'.', "1e999"),
            ("1.5e-7", None, None, b',', "1,5e-7"),
            ("NaN", Some(2), None, b',', "NaN"),
            ("-INF", None, None, b',', "-INF"),
            ("123456", None, Some('\u{202f}'), b',', "123\u{202f}456"),
        ] {
            let mut out = b"x".to_vec();
            let style = NumberStyle { decimals, grouping, decimal_mark: mark, digits_as_text: true };
            assert_eq!(write(&mut out, text.as_bytes(), &style), NumberText::Number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{expected}"), "{text}");
        }
    }

    #[test]
    fn numbers_with_more_digits_than_a_spreadsheet_keeps_are_reported() {
        let style = NumberStyle { decimals: None, grouping: None, decimal_mark: b'.', digits_as_text: true };
        for (text, expected) in [
            ("999999999999999", NumberText::Number),
            ("1000000000000000", NumberText::Digits),
            ("-9223372036854775808", NumberText::Digits),
            ("0.000000000000000000001", NumberText::Number),
            ("1234567890.123456", NumberText::Digits),
        ] {
            assert_eq!(write(&mut Vec::new(), text.as_bytes(), &style), expected, "{text}");
        }
    }
}
