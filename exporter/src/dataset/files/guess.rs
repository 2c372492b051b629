//! Guesses the types of columns of text files.
//!
//! A column gets a type other than text only if that type preserves the text of each value, that is, an export writes
//! exactly the text in the file. A number with a leading zero, a plus sign or another notation therefore stays text. A
//! timestamp with an offset such as `+01:00` also stays text.

use chrono::NaiveDate;
use protocol::catalog::{Column, ColumnType};

use crate::value::text;

const INT: u8 = 1;
const FLOAT: u8 = 1 << 1;
const DECIMAL: u8 = 1 << 2;
const BOOL: u8 = 1 << 3;
const DATE: u8 = 1 << 4;
/// The bit of [`Candidates`] for timestamps with a time zone.
const DATETIME: u8 = 1 << 5;
/// The bit of [`Candidates`] for timestamps without a time zone.
const LOCAL: u8 = 1 << 6;
/// The bits of all types that may be guessed.
const GUESSES: u8 = INT | FLOAT | DECIMAL | BOOL | DATE | DATETIME | LOCAL;

/// The bits and column types that may be guessed, in the order of preference.
const PREFERENCE: [(u8, ColumnType); 7] = [
    (INT, ColumnType::Int),
    (FLOAT, ColumnType::Float),
    (DECIMAL, ColumnType::Decimal),
    (BOOL, ColumnType::Bool),
    (DATE, ColumnType::Date),
    (DATETIME, ColumnType::Datetime),
    (LOCAL, ColumnType::Datetime),
];

/// A set of column types, as bits. The set has each type that preserves the text of all values of the column so far,
/// that is, an export would write the same text. Text is always possible and has no bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidates(u8);

impl Candidates {
    /// The candidates of a column before its first value: the bits of all types. Every value other than NULL removes at
    /// least one bit.
    pub(super) const UNSEEN: Self = Self(GUESSES);

    /// Whether text is the only possible type of the column.
    pub(super) const fn is_text(self) -> bool {
        self.0 == 0
    }

    /// Removes the types that do not fit this CSV field. A type fits if an export writes the field in this type as the
    /// same text. The field must not be empty.
    pub(super) fn restrict(&mut self, field: &[u8]) {
        self.0 &= match field[0] {
            b'0'..=b'9' | b'-' => match (field.get(4), field.get(7)) {
                (Some(b'-'), Some(b'-')) => moment(field),
                _ => number(field, self.0),
            },
            b't' | b'f' => boolean(field),
            _ => 0,
        };
    }

    /// Removes the types that do not fit this JSON value. A type fits if an export writes the value in this type as the
    /// same text, with the same JSON type. The value `null` fits every type.
    pub(super) fn restrict_json(&mut self, value: &[u8]) {
        self.0 &= match value {
            [b'n', ..] => return,
            [b'"', string @ .., b'"'] => moment(string),
            [b't' | b'f', ..] => boolean(value),
            [b'0'..=b'9' | b'-', ..] => number(value, self.0),
            _ => 0,
        };
    }

    /// Keeps only the types that are also candidates of the same column in another file.
    pub(super) const fn intersect(&mut self, other: Self) {
        self.0 &= other.0;
    }

    /// Returns the guessed type, which is the first candidate in [`PREFERENCE`]. Returns text if the column has no
    /// values or no candidates.
    pub(super) fn kind(self) -> ColumnType {
        let preferred = PREFERENCE.iter().find(|(candidate, _)| self.0 & candidate != 0);
        preferred.filter(|_| self != Self::UNSEEN).map_or(ColumnType::String, |(_, kind)| *kind)
    }

    /// Returns a column with this name and the guessed type.
    pub(super) fn column(self, name: String) -> Column {
        Column::new(name, ColumnType::String).typed(self.kind(), self.0 & DATETIME == 0)
    }

    const fn of(column: &Column) -> Self {
        Self(match column.kind {
            ColumnType::Datetime if column.local => LOCAL,
            ColumnType::Int => INT,
            ColumnType::Float => FLOAT,
            ColumnType::Decimal => DECIMAL,
            ColumnType::Bool => BOOL,
            ColumnType::Date => DATE,
            ColumnType::Datetime => DATETIME,
            _ => 0,
        })
    }
}

/// Whether a CSV field fits the guessed type of its column, that is, whether an export would write the field back as
/// the same text. An empty field fits every type.
pub(super) fn fits(column: &Column, field: &[u8]) -> bool {
    let mut candidates = Candidates::of(column);
    if candidates.is_text() || field.is_empty() {
        return true;
    }
    candidates.restrict(field);
    !candidates.is_text()
}

/// Whether a JSON value fits the guessed type of its column, that is, whether an export would write the value back as
/// the same text.
pub(super) fn fits_json(column: &Column, value: &[u8]) -> bool {
    let mut candidates = Candidates::of(column);
    if candidates.is_text() {
        return true;
    }
    candidates.restrict_json(value);
    !candidates.is_text()
}

/// Returns the bits of the numeric types in which an export writes the number `text` as the same text; 0 if there is no
/// such type. Tests for a float only if `candidates` has the bit for floats, because the test is slow.
fn number(text: &[u8], candidates: u8) -> u8 {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole == 0 || (whole > 1 && digits[0] == b'0') {
        return 0;
    }
    let float = |others: u8| others | if candidates & FLOAT != 0 && is_shortest_float(text) { FLOAT } else { 0 };
    match digits[whole..].split_first() {
        None if text == b"-0" => DECIMAL,
        None if whole <= 18 || is_int(text) => INT | DECIMAL,
        None => DECIMAL,
        Some((b'.', fraction)) if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) => float(DECIMAL),
        Some(_) => float(0),
    }
}

fn is_int(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// Whether a text is exactly the text that exports write for a finite 64-bit float, that is, the shortest text that
/// parses to the same float.
fn is_shortest_float(written: &[u8]) -> bool {
    let parsed = std::str::from_utf8(written).ok().and_then(|text| text.parse::<f64>().ok());
    let Some(float) = parsed.filter(|float| float.is_finite()) else { return false };
    let mut shortest = Vec::with_capacity(32);
    text::float(&mut shortest, float);
    shortest == written
}

fn boolean(text: &[u8]) -> u8 {
    if matches!(text, b"true" | b"false") { BOOL } else { 0 }
}

/// Returns the bit of [`Candidates`] for a text that is a date such as `2026-11-22`, or a timestamp such as
/// `2026-11-22T15:26:01.500Z` or `2026-11-22T15:26:01`. The timestamp may have a fraction of 3 or 6 digits that does
/// not end in `000`. Returns 0 for any other text.
fn moment(text: &[u8]) -> u8 {
    let Some((date, clock)) = text.split_at_checked(10).filter(|(date, _)| is_date(date)) else { return 0 };
    let [separator @ (b'T' | b' '), h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = clock else {
        return if date.len() == text.len() { DATE } else { 0 };
    };
    let is_below = |tens: u8, ones: u8, most: u8| {
        tens.is_ascii_digit() && ones.is_ascii_digit() && (tens - b'0') * 10 + (ones - b'0') < most
    };
    let is_clock = is_below(*h1, *h2, 24) && is_below(*m1, *m2, 60) && is_below(*s1, *s2, 60);
    let (fraction, zoned) = rest.strip_suffix(b"Z").map_or((rest, false), |fraction| (fraction, true));
    let is_number = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_clock || !is_number {
        return 0;
    }
    let is_exact = *separator == b'T'
        && (fraction.is_empty() || matches!(fraction.len(), 4 | 7) && fraction[fraction.len() - 3..] != *b"000");
    match (zoned, is_exact) {
        (true, true) => DATETIME,
        (true, false) => 0,
        (false, true) => LOCAL,
        (false, false) => 0,
    }
}

fn is_date(text: &[u8]) -> bool {
    let number = |digits: &[u8]| {
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return false };
    match (number(&[*y1, *y2, *y3, *y4]), number(&[*m1, *m2]), number(&[*d1, *d2])) {
        (Some(year), Some(month), Some(day)) => NaiveDate::from_ymd_opt(year as i32, month, day).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(fields: &[&str]) -> ColumnType {
        let mut candidates = Candidates::UNSEEN;
        fields.iter().for_each(|field| candidates.restrict(field.as_bytes()));
        candidates.kind()
    }

    #[test]
    fn a_type_is_guessed_only_if_each_value_keeps_its_text() {
        for (fields, kind) in [
            (&["1", "-2", "9223372036854775807"][..], ColumnType::Int),
            (&["9223372036854775808"], ColumnType::Decimal),
            (&["12345678901234567890", "1"], ColumnType::Decimal),
            (&["2.5", "-0.1", "1e+300", "5e-324"], ColumnType::Float),
            (&["2.5", "7"], ColumnType::Decimal),
            (&["1.10"], ColumnType::Decimal),
            (&["0.12345678901234567890123"], ColumnType::Decimal),
            (&["-0"], ColumnType::Decimal),
            (&["-0.0"], ColumnType::Float),
            (&["true", "false"], ColumnType::Bool),
            (&["2026-11-22", "0001-01-01"], ColumnType::Date),
            (
                &["2026-11-22T00:00:00Z", "2026-11-22T00:00:00.500Z", "2026-11-22T00:00:00.000001Z"],
                ColumnType::Datetime,
            ),
            (&["2026-11-22T00:00:00", "2026-11-22T00:00:00.500"], ColumnType::Datetime),
            (&["2026-11-22T00:00:00", "2026-11-22T00:00:00Z"], ColumnType::String),
            (&[], ColumnType::String),
        ] {
            assert_eq!(guessed(fields), kind, "{fields:?}");
        }
        for text in [
            "01220",
            "007",
            "-01",
            "05-03-24",
            "12E4",
            "NAN",
            "NaN",
            "inf",
            "+5",
            " 5",
            "5 ",
            "1e400",
            "TRUE",
            "True",
            "t",
            "f",
            ".5",
            "5.",
            "1_000",
            "1,5",
            "0x10",
            "1e300",
            "1.5e3",
            "1E5",
            "-",
            "--1",
            "1.2.3",
            "٣",
            "2026-02-30",
            "2026-1-5",
            "2026-11-22 10:00:00",
            "2026-11-22T10:00:00+01:00",
            "2026-11-22T10:00:00.5Z",
            "2026-11-22T10:00:00.5",
            "2026-11-22T10:00:00.000Z",
            "2026-11-22T10:00:00.123000Z",
            "2026-11-22T10:00:00.123456789Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:00:60Z",
            "2026-11-22t10:00:00z",
            "+10000-01-01",
            "-0001-01-01",
        ] {
            assert_eq!(guessed(&[text]), ColumnType::String, "{text}");
        }
        for mixed in [["1", "true"], ["1", "x"], ["2026-11-22", "2026-11-22T00:00:00Z"], ["1.5", "1e300x"]] {
            assert_eq!(guessed(&mixed), ColumnType::String, "{mixed:?}");
        }
    }

    #[test]
    fn values_of_json_keep_their_type_of_json() {
        let guessed = |values: &[&str]| {
            let mut candidates = Candidates::UNSEEN;
            values.iter().for_each(|value| candidates.restrict_json(value.as_bytes()));
            candidates.kind()
        };
        for (values, kind) in [
            (&["1", "null", "-7"][..], ColumnType::Int),
            (&["1.5", "0.25"], ColumnType::Float),
            (&["1.50"], ColumnType::Decimal),
            (&["null"], ColumnType::String),
            (&["true", "false", "null"], ColumnType::Bool),
            (&["\"2026-11-22\""], ColumnType::Date),
            (&["\"1\""], ColumnType::String),
            (&["\"true\""], ColumnType::String),
            (&["1", "\"1\""], ColumnType::String),
            (&["\"\"", "\"2026-11-22\""], ColumnType::String),
            (&["{}"], ColumnType::String),
            (&["[1]", "1"], ColumnType::String),
            (&["1E5"], ColumnType::String),
        ] {
            assert_eq!(guessed(values), kind, "{values:?}");
        }
    }

    #[test]
    fn a_value_that_breaks_a_guess_does_not_fit() {
        let of = |kind| Column::new("a", kind);
        assert!(fits(&of(ColumnType::Int), b"12") && fits(&of(ColumnType::String), b"01220"));
        assert!(fits(&of(ColumnType::Date), b""));
        assert!(!fits(&of(ColumnType::Int), b"01220") && !fits(&of(ColumnType::Decimal), b"1e5"));
        assert!(fits_json(&of(ColumnType::Bool), b"null") && !fits_json(&of(ColumnType::Int), b"\"12\""));
        let (zoned, local) = (of(ColumnType::Datetime), of(ColumnType::Datetime).typed(ColumnType::Datetime, true));
        assert!(fits(&zoned, b"2026-11-22T00:00:00Z") && !fits(&zoned, b"2026-11-22T00:00:00"));
        assert!(fits(&local, b"2026-11-22T00:00:00") && !fits(&local, b"2026-11-22T00:00:00Z"));
    }
}
