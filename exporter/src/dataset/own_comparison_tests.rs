//! Compares values by their texts, for tests of filters. This code shares nothing with the filters, so it does not
//! repeat their mistakes.

use std::cmp::Ordering;

use protocol::catalog::ColumnType;
use serde_json::Value;

/// Whether a value passes a test such as `{"gt": 5}`. `shown` is the value in the form in which a filter names it; None
/// for NULL.
///
/// # Panics
///
/// When the test has no operator, several operators, or an unknown operator.
pub(super) fn passes(kind: ColumnType, shown: Option<&Value>, test: &Value) -> bool {
    let tests = test.as_object().unwrap();
    assert_eq!(tests.len(), 1, "{test}");
    let (operator, operand) = tests.iter().next().unwrap();
    if operator == "is_null" {
        return shown.is_none() == operand.as_bool().unwrap();
    }
    // NULL passes no other test
    let Some(shown) = shown else { return false };
    let order = |operand: &Value| compare(kind, shown, operand);
    match operator.as_str() {
        "eq" => order(operand).is_eq(),
        "ne" => order(operand).is_ne(),
        "lt" => order(operand).is_lt(),
        "lte" => order(operand).is_le(),
        "gt" => order(operand).is_gt(),
        "gte" => order(operand).is_ge(),
        "in" => operand.as_array().unwrap().iter().any(|operand| order(operand).is_eq()),
        "between" => order(&operand[0]).is_ge() && order(&operand[1]).is_le(),
        "contains" => shown.as_str().unwrap().contains(operand.as_str().unwrap()),
        "like" => {
            let chars = |text: &Value| text.as_str().unwrap().chars().collect::<Vec<_>>();
            like(&chars(shown), &chars(operand))
        }
        other => panic!("the operator {other}"),
    }
}

/// Compares two literals of filters for a column of this type.
fn compare(kind: ColumnType, a: &Value, b: &Value) -> Ordering {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (a, b) = (text(a), text(b));
    match kind {
        ColumnType::Int | ColumnType::Float | ColumnType::Decimal => Number::of(&a).cmp(&Number::of(&b)),
        ColumnType::String => a.as_bytes().cmp(b.as_bytes()),
        ColumnType::Bool | ColumnType::Time => a.cmp(&b),
        ColumnType::Date | ColumnType::Datetime => moment(&a).cmp(&moment(&b)),
    }
}

/// A number with all its digits. The order of the variants is the order of the numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    NegativeInfinity,
    Finite(Digits),
    Infinity,
    Nan,
}

/// A finite number by its decimal digits, without any rounding.
#[derive(Debug, PartialEq, Eq)]
struct Digits {
    is_negative: bool,
    /// The digits without zeros at the beginning and the end; empty for zero.
    digits: Vec<u8>,
    /// The power of ten in the number, which is `0.` followed by `digits`, times ten to this power. So `5` has 1, and
    /// `0.05` has -1.
    magnitude: i64,
}

impl Number {
    fn of(text: &str) -> Self {
        match text {
            "NaN" => return Self::Nan,
            "INF" | "Infinity" | "inf" => return Self::Infinity,
            "-INF" | "-Infinity" | "-inf" => return Self::NegativeInfinity,
            _ => {}
        }
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        assert!(!all.is_empty() && all.bytes().all(|digit| digit.is_ascii_digit()), "{text}");
        let trimmed = all.trim_start_matches('0');
        let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap();
        let magnitude = whole.len() as i64 - (all.len() - trimmed.len()) as i64 + exponent;
        let digits = trimmed.trim_end_matches('0').as_bytes().to_vec();
        if digits.is_empty() {
            return Self::Finite(Digits { is_negative: false, digits, magnitude: 0 });
        }
        Self::Finite(Digits { is_negative, digits, magnitude })
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits));
        match (sign(self), sign(other)) {
            (1, 1) => size(),
            (-1, -1) => size().reverse(),
            (a, b) => a.cmp(&b),
        }
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Converts the text of a date or of a timestamp in UTC to nanoseconds since 1970-01-01.
fn moment(text: &str) -> i128 {
    match text {
        "infinity" => return i128::MAX,
        "-infinity" => return i128::MIN,
        _ => {}
    }
    // the hyphen of a negative year is the first character
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let date: chrono::NaiveDate = date.parse().unwrap();
    let time: chrono::NaiveTime = time.trim_end_matches("+00:00").parse().unwrap();
    let since = date.and_time(time) - chrono::DateTime::UNIX_EPOCH.naive_utc();
    i128::from(since.num_seconds()) * 1_000_000_000 + i128::from(since.subsec_nanos())
}

/// Whether a text matches a LIKE pattern.
fn like(text: &[char], pattern: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, first) => first.is_none(),
        (Some('%'), first) => like(text, &pattern[1..]) || (first.is_some() && like(&text[1..], pattern)),
        (Some('\\'), first) if pattern.len() > 1 => first == Some(&pattern[1]) && like(&text[1..], &pattern[2..]),
        (Some('_'), Some(_)) => like(&text[1..], &pattern[1..]),
        (Some(wanted), first) => first == Some(wanted) && like(&text[1..], &pattern[1..]),
    }
}

#[test]
fn numbers_compare_by_their_digits() {
    let ordered = [
        "-INF",
        "-1e300",
        "-10",
        "-9.5",
        "-9",
        "-0.01",
        "-0.001",
        "0",
        "0.001",
        "0.0100",
        "0.1",
        "0.11",
        "1",
        "1.1",
        "9",
        "10",
        "1e2",
        "9007199254740992",
        "9007199254740993",
        "1e300",
        "INF",
        "NaN",
    ];
    for (at, a) in ordered.iter().enumerate() {
        for (other, b) in ordered.iter().enumerate() {
            assert_eq!(Number::of(a).cmp(&Number::of(b)), at.cmp(&other), "{a} {b}");
        }
    }
    for (a, b) in [("1.10", "1.1"), ("-0.0", "0"), ("1e3", "1000"), ("0.5e1", "5"), ("1E+2", "100"), ("007", "7")] {
        assert_eq!(Number::of(a), Number::of(b), "{a} {b}");
    }
}

#[test]
fn patterns_match_as_in_sql() {
    for (text, pattern, matches) in
        [("", "%", true), ("abc", "a%c", true), ("abc", "a_", false), ("a%", "a\\%", true), ("ab", "a\\%", false)]
    {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(like(&chars(text), &chars(pattern)), matches, "{text} like {pattern}");
    }
}
