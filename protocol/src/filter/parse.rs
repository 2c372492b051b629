//! Parses JSON into a checked [`Filter`].

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::{Map, Value};

use super::{Compare, Filter, Literal};
use crate::{
    access::TOKEN_CLAIMS,
    catalog::{Column, ColumnType},
    decimal,
    json::child,
    problem::FieldError,
};

/// The maximum nesting of `and`, `or` and `not`, so that no filter exhausts the stack.
const MAX_DEPTH: usize = 32;
/// The maximum number of values of `in`.
const MAX_IN: usize = 10_000;
/// The maximum number of conditions, `and`, `or` and `not` of a filter, so that no filter exhausts stack or CPU time.
const MAX_PARTS: usize = 500;
/// The maximum number of reported errors. The limit bounds the size of the answer.
const MAX_ERRORS: usize = 20;
/// The error for a text with U+0000. PostgreSQL refuses this character, and C libraries end a text at it.
const NUL: &str = "expected a text without the character U+0000";
/// All operators, as listed in error texts.
const OPERATORS: &str = "eq, ne, lt, lte, gt, gte, in, between, is_null, like, contains";

/// Parses a filter and checks it against the columns of the dataset.
///
/// # Errors
/// All errors, with pointers below `/filter`.
pub fn parse(filter: &Value, columns: &[Column]) -> Result<Filter, Vec<FieldError>> {
    parse_with(filter, columns, false)
}

/// Checks a row policy: a filter in which `{"claim": "<name>"}` may replace any value, or the list of `in`. The claim
/// must be none of [`TOKEN_CLAIMS`]. The returned filter has placeholders for the claims, so the caller may use only its
/// columns.
///
/// # Errors
/// All errors, with pointers below `/filter`.
pub fn check_policy(policy: &Value, columns: &[Column]) -> Result<Filter, Vec<FieldError>> {
    parse_with(policy, columns, true)
}

fn parse_with(filter: &Value, columns: &[Column], is_policy: bool) -> Result<Filter, Vec<FieldError>> {
    let mut parser = Parser { columns, errors: Vec::new(), parts: 0, is_policy };
    let parsed = parser.object(filter, "/filter", 0);
    match parsed {
        Some(filter) if parser.errors.is_empty() => Ok(filter),
        _ => Err(parser.errors),
    }
}

/// The name of the claim in a value `{"claim": "<name>"}` of a row policy; None for every other value.
fn claim_name(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get("claim")?.as_str()
}

/// Replaces each `{"claim": "<name>"}` in a row policy by the claim of the caller with that name.
///
/// # Errors
/// The name of a claim that the token of the caller lacks. Sluice must then refuse the export.
pub fn bind_claims(policy: &Value, claims: &Map<String, Value>) -> Result<Value, String> {
    match policy {
        Value::Object(map) => {
            if let Some(name) = claim_name(policy) {
                return claims.get(name).cloned().ok_or_else(|| name.to_owned());
            }
            map.iter()
                .map(|(k, v)| Ok((k.clone(), bind_claims(v, claims)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object)
        }
        Value::Array(items) => items.iter().map(|v| bind_claims(v, claims)).collect::<Result<_, _>>().map(Value::Array),
        other => Ok(other.clone()),
    }
}

struct Parser<'a> {
    columns: &'a [Column],
    errors: Vec<FieldError>,
    parts: usize,
    /// Whether the filter is a row policy, in which `{"claim": "<name>"}` may replace a value.
    is_policy: bool,
}

impl Parser<'_> {
    fn fail<T>(&mut self, pointer: &str, detail: impl Into<String>) -> Option<T> {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError::new(pointer, detail));
        }
        None
    }

    /// Counts one more part of the filter. Above [`MAX_PARTS`], records an error and returns None.
    fn count_part(&mut self, at: &str) -> Option<()> {
        self.parts += 1;
        if self.parts == MAX_PARTS + 1 {
            return self.fail(at, format!("a filter may have at most {MAX_PARTS} parts; `in` takes a list"));
        }
        (self.parts <= MAX_PARTS).then_some(())
    }

    fn object(&mut self, value: &Value, at: &str, depth: usize) -> Option<Filter> {
        if depth > MAX_DEPTH {
            return self.fail(at, format!("a filter may nest at most {MAX_DEPTH} levels"));
        }
        let Some(members) = value.as_object().filter(|members| depth == 0 || !members.is_empty()) else {
            return self.fail(at, "expected an object such as {\"column\": {\"eq\": 1}}");
        };
        let mut all = Vec::with_capacity(members.len());
        for (name, member) in members {
            let at = child(at, name);
            self.count_part(&at)?;
            let part = match name.as_str() {
                "and" => self.list(member, &at, depth).map(Filter::And),
                "or" => self.list(member, &at, depth).map(Filter::Or),
                "not" => self.object(member, &at, depth + 1).map(|f| Filter::Not(Box::new(f))),
                column => self.column(column, member, &at),
            };
            all.extend(part);
        }
        Some(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn list(&mut self, value: &Value, at: &str, depth: usize) -> Option<Vec<Filter>> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            return self.fail(at, "expected a list of at least one filter");
        };
        let mut parts = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let at = child(at, &i.to_string());
            self.count_part(&at)?;
            parts.extend(self.object(item, &at, depth + 1));
        }
        Some(parts)
    }

    fn column(&mut self, name: &str, value: &Value, at: &str) -> Option<Filter> {
        let Some(column) = self.columns.iter().find(|c| c.name == name) else {
            let known: Vec<_> = self.columns.iter().map(|c| c.name.as_str()).collect();
            return self.fail(at, format!("unknown column; this dataset has {}", known.join(", ")));
        };
        if column.masked {
            // a filter on a masked column would reveal the unmasked values
            return self.fail(at, "your token shows only masked values of this column, so a filter may not use it");
        }
        let Some(operators) = value.as_object().filter(|o| !o.is_empty()) else {
            return self.fail(at, format!("expected an object with one of {OPERATORS}"));
        };
        let mut all = Vec::with_capacity(operators.len());
        for (operator, operand) in operators {
            let at = child(at, operator);
            self.count_part(&at)?;
            all.extend(self.operator(column, operator, operand, &at));
        }
        Some(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn operator(&mut self, of: &Column, operator: &str, value: &Value, at: &str) -> Option<Filter> {
        let (column, kind) = (of.name.clone(), of.kind);
        let compare = match operator {
            "eq" => Compare::Eq,
            "ne" => Compare::Ne,
            "lt" => Compare::Lt,
            "lte" => Compare::Lte,
            "gt" => Compare::Gt,
            "gte" => Compare::Gte,
            "in" => return self.literals(of, value, at, 1..=MAX_IN).map(|values| Filter::In(column, values)),
            "between" => {
                let mut ends = self.literals(of, value, at, 2..=2)?;
                let high = ends.pop()?;
                return Some(Filter::Between(column, ends.pop()?, high));
            }
            "is_null" => {
                return match value {
                    Value::Bool(is) => Some(Filter::IsNull(column, *is)),
                    _ => self.fail(at, "expected true or false"),
                };
            }
            "like" | "contains" => {
                if kind != ColumnType::String {
                    return self.fail(at, format!("`{operator}` works on string columns only"));
                }
                return match value {
                    Value::String(text) if text.contains('\0') => self.fail(at, NUL),
                    Value::String(text) if operator == "like" => Some(Filter::Like(column, text.clone())),
                    Value::String(text) => Some(Filter::Contains(column, text.clone())),
                    _ => self.fail(at, "expected a string"),
                };
            }
            _ => return self.fail(at, format!("unknown operator; expected one of {OPERATORS}")),
        };
        if value.is_null() {
            return self.fail(at, "a comparison with null is never true; use {\"is_null\": true}");
        }
        if kind == ColumnType::Bool && !matches!(compare, Compare::Eq | Compare::Ne) {
            return self.fail(at, "true and false have no order; use `eq` or `ne`");
        }
        self.literal(of, value, at).map(|literal| Filter::Compare(column, compare, literal))
    }

    fn literals(
        &mut self,
        column: &Column,
        value: &Value,
        at: &str,
        count: std::ops::RangeInclusive<usize>,
    ) -> Option<Vec<Literal>> {
        if let Some(claim) = self.claim(value).filter(|_| count.start() != count.end()) {
            return self.claim_placeholder(column, claim, at).map(|literal| vec![literal]);
        }
        let Some(items) = value.as_array().filter(|items| count.contains(&items.len())) else {
            let wanted = if count.start() == count.end() {
                format!("a list of {} values", count.start())
            } else {
                format!("a list of {} to {} values", count.start(), count.end())
            };
            return self.fail(at, format!("expected {wanted}"));
        };
        let before = self.errors.len();
        let out: Vec<_> =
            items.iter().enumerate().filter_map(|(i, v)| self.literal(column, v, &child(at, &i.to_string()))).collect();
        (self.errors.len() == before).then_some(out)
    }

    fn literal(&mut self, column: &Column, value: &Value, at: &str) -> Option<Literal> {
        let kind = column.kind;
        if let Some(claim) = self.claim(value) {
            return self.claim_placeholder(column, claim, at);
        }
        let text = value.as_str();
        if text.is_some_and(|text| text.contains('\0')) {
            return self.fail(at, NUL);
        }
        let literal = match kind {
            ColumnType::String => text.map(|t| Literal::String(t.to_owned())),
            ColumnType::Int => value.as_i64().map(Literal::Int),
            ColumnType::Float => float(value).map(Literal::Float),
            ColumnType::Decimal => exact_decimal(value).map(Literal::Decimal),
            ColumnType::Bool => value.as_bool().map(Literal::Bool),
            ColumnType::Date | ColumnType::Datetime if matches!(text, Some("infinity" | "-infinity")) => {
                Some(Literal::Infinity { is_negative: text == Some("-infinity") })
            }
            ColumnType::Time if text == Some(END_OF_DAY) => Some(Literal::EndOfDay),
            ColumnType::Date => text.and_then(|t| NaiveDate::parse_from_str(t, "%Y-%m-%d").ok()).map(Literal::Date),
            ColumnType::Datetime | ColumnType::Time if text.is_some_and(is_too_fine) => None,
            ColumnType::Datetime if column.local => text.and_then(local_datetime).map(Literal::Datetime),
            ColumnType::Datetime => text.and_then(datetime).map(Literal::Datetime),
            ColumnType::Time => text.and_then(|t| NaiveTime::parse_from_str(t, "%H:%M:%S%.f").ok()).map(Literal::Time),
        };
        if literal.is_some() {
            return literal;
        }
        let wanted = match kind {
            ColumnType::String => "a string",
            ColumnType::Int => "a whole number from -9223372036854775808 to 9223372036854775807",
            ColumnType::Float => "a number, or one of the strings \"NaN\", \"INF\" and \"-INF\"",
            ColumnType::Decimal => "a decimal number of at most 1,000 digits, as a number or a string",
            ColumnType::Bool => "true or false",
            ColumnType::Date => "a date such as \"2026-11-22\"",
            ColumnType::Datetime | ColumnType::Time if text.is_some_and(is_too_fine) => {
                "at most nine digits after the second"
            }
            ColumnType::Datetime if column.local => {
                "a time without an offset such as \"2026-11-22T15:26:01\", because this column has no time zone"
            }
            ColumnType::Datetime => "a time such as \"2026-11-22T15:26:01Z\"",
            ColumnType::Time => "a time of day such as \"15:26:01\"",
        };
        self.fail(at, format!("expected {wanted}"))
    }

    /// The name of the claim in a value of a row policy; None for every other value, and in every other filter.
    fn claim<'v>(&self, value: &'v Value) -> Option<&'v str> {
        if self.is_policy { claim_name(value) } else { None }
    }

    fn claim_placeholder(&mut self, column: &Column, claim: &str, at: &str) -> Option<Literal> {
        if TOKEN_CLAIMS.contains(&claim) {
            let detail = "describes a token or a sign-in, and not the user: a row policy can't use it";
            return self.fail(at, format!("the claim `{claim}` {detail}"));
        }
        Some(placeholder(column.kind))
    }
}

/// The value of a claim while [`check_policy`] checks a row policy without a caller.
fn placeholder(kind: ColumnType) -> Literal {
    match kind {
        ColumnType::String => Literal::String(String::new()),
        ColumnType::Int => Literal::Int(0),
        ColumnType::Float => Literal::Float(0.0),
        ColumnType::Decimal => Literal::Decimal("0".into()),
        ColumnType::Bool => Literal::Bool(false),
        ColumnType::Date => Literal::Date(NaiveDate::default()),
        ColumnType::Datetime => Literal::Datetime(DateTime::UNIX_EPOCH),
        ColumnType::Time => Literal::Time(NaiveTime::MIN),
    }
}

/// Parses a time for a column without a time zone: `2026-11-22T15:26:01`, or the same with a `Z`, whose digits count.
/// A time with any other offset has no meaning in such a column, so the function returns None.
fn local_datetime(text: &str) -> Option<DateTime<Utc>> {
    let offset = DateTime::parse_from_rfc3339(text).map(|time| time.offset().local_minus_utc());
    datetime(text).filter(|_| offset.is_ok_and(|seconds| seconds == 0) || offset.is_err())
}

/// Parses an RFC 3339 time. A time or a date without an offset is in UTC. As in files, a year beyond 9999 or before 0
/// has a sign.
fn datetime(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|t| t.with_timezone(&Utc)).ok();
    let naive = || {
        NaiveDateTime::parse_from_str(text.strip_suffix('Z').unwrap_or(text), "%Y-%m-%dT%H:%M:%S%.f")
            .ok()
            .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
    };
    zoned.or_else(|| naive().map(|t| t.and_utc()))
}

/// The maximum length of a decimal without its sign, in characters: the largest precision that a `numeric` column of
/// PostgreSQL can declare, and a point.
const MAX_DECIMAL: usize = 1_001;
/// The time of day after the last one of a day (ISO 8601).
const END_OF_DAY: &str = "24:00:00";

/// Whether a time is finer than a nanosecond, which is the finest unit of a column.
fn is_too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).skip(9).any(|digit| digit != b'0')
}

/// Parses a number, or a string with a number. The special values are spelled as files show them.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "INF" | "Infinity" => Some(f64::INFINITY),
            "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
            text => decimal::plain(text)?.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        other => other.as_f64(),
    }
}

/// Parses a number, or a string with a number, to the text of a decimal without an exponent.
fn exact_decimal(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let plain = match text.as_str() {
        "INF" => "Infinity".into(),
        "-INF" => "-Infinity".into(),
        text => decimal::plain(text)?,
    };
    (plain.trim_start_matches('-').len() <= MAX_DECIMAL).then(|| plain.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filter::{LikePart, like_parts};

    fn columns() -> Vec<Column> {
        [
            ("delay", ColumnType::Int),
            ("origin", ColumnType::String),
            ("date", ColumnType::Datetime),
            ("day", ColumnType::Date),
            ("price", ColumnType::Decimal),
            ("late", ColumnType::Bool),
        ]
        .map(|(name, kind)| Column::new(name, kind))
        .to_vec()
    }

    fn error_pointers(filter: Value) -> Vec<String> {
        parse(&filter, &columns()).unwrap_err().into_iter().map(|e| e.pointer).collect()
    }

    #[test]
    fn all_members_must_be_true_and_filters_may_nest() {
        let filter = json!({"delay": {"gte": 30, "lt": 60}, "or": [{"origin": {"in": ["SEA"]}}, {"not": {"late": {"eq": true}}}]});
        let Filter::And(parts) = parse(&filter, &columns()).unwrap() else { panic!("not an and") };
        assert_eq!(parts.len(), 2);
        assert_eq!(parse(&json!({}), &columns()), Ok(Filter::And(vec![])));
    }

    #[test]
    fn values_take_the_type_of_their_column() {
        let one = |f| parse(&f, &columns()).unwrap();
        assert_eq!(
            one(json!({"price": {"eq": "1.10"}})),
            Filter::Compare("price".into(), Compare::Eq, Literal::Decimal("1.10".into()))
        );
        let long = format!("-{}.{}", "7".repeat(500), "3".repeat(500));
        assert_eq!(
            one(json!({"price": {"eq": long}})),
            Filter::Compare("price".into(), Compare::Eq, Literal::Decimal(long.clone()))
        );
        assert_eq!(error_pointers(json!({"price": {"eq": format!("{long}3")}})), ["/filter/price/eq"]);
        let noon = NaiveDate::from_ymd_opt(2001, 1, 2).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
        for text in ["2001-01-02T12:00:00", "2001-01-02T13:00:00+01:00"] {
            assert_eq!(
                one(json!({"date": {"lt": text}})),
                Filter::Compare("date".into(), Compare::Lt, Literal::Datetime(noon))
            );
        }
    }

    #[test]
    fn a_column_without_a_time_zone_takes_times_without_an_offset() {
        let local = [Column::new("at", ColumnType::Datetime).typed(ColumnType::Datetime, true)];
        let noon = NaiveDate::from_ymd_opt(2001, 1, 2).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
        for text in
            ["2001-01-02T12:00:00", "2001-01-02T12:00:00.000", "2001-01-02T12:00:00Z", "2001-01-02T12:00:00+00:00"]
        {
            assert_eq!(
                parse(&json!({"at": {"gte": text}}), &local),
                Ok(Filter::Compare("at".into(), Compare::Gte, Literal::Datetime(noon))),
                "{text}"
            );
        }
        for text in ["2001-01-02T13:00:00+01:00", "2001-01-02T12:00:00-00:30", "noon"] {
            let errors = parse(&json!({"at": {"between": ["2001-01-01", text]}}), &local).unwrap_err();
            assert_eq!(errors[0].pointer, "/filter/at/between/1");
            assert!(errors[0].detail.contains("no time zone"), "{}", errors[0].detail);
        }
    }

    #[test]
    fn every_error_has_a_pointer() {
        assert_eq!(error_pointers(json!([])), ["/filter"]);
        assert_eq!(error_pointers(json!({"origin": "SEA"})), ["/filter/origin"]);
        assert_eq!(
            error_pointers(json!({"nope": {"eq": 1}, "delay": {"eq": "x"}})),
            ["/filter/delay/eq", "/filter/nope"]
        );
        assert_eq!(
            error_pointers(json!({"delay": {"in": [1, "2", 3.5]}})),
            ["/filter/delay/in/1", "/filter/delay/in/2"]
        );
        assert_eq!(error_pointers(json!({"delay": {"between": [1]}})), ["/filter/delay/between"]);
        assert_eq!(error_pointers(json!({"delay": {"like": "1%"}})), ["/filter/delay/like"]);
        assert_eq!(error_pointers(json!({"or": []})), ["/filter/or"]);
        assert_eq!(error_pointers(json!({"or": [{"x": {"eq": 1}}]})), ["/filter/or/0/x"]);
        assert_eq!(error_pointers(json!({"delay": {"eq": null}})), ["/filter/delay/eq"]);
        assert_eq!(error_pointers(json!({"late": {"lt": true}})), ["/filter/late/lt"]);
        assert_eq!(error_pointers(json!({"price": {"eq": "1e5 EUR"}})), ["/filter/price/eq"]);
        assert_eq!(error_pointers(json!({"day": {"eq": "2026-02-30"}})), ["/filter/day/eq"]);
        assert_eq!(error_pointers(json!({"origin": {"eq": "a\0"}})), ["/filter/origin/eq"]);
        assert_eq!(error_pointers(json!({"origin": {"like": "\0%"}})), ["/filter/origin/like"]);
    }

    #[test]
    fn numbers_may_be_strings_and_special_values_are_spelled_as_in_files() {
        let columns = [("f", ColumnType::Float), ("d", ColumnType::Decimal), ("t", ColumnType::Time)];
        let mut columns = columns.map(|(name, kind)| Column::new(name, kind)).to_vec();
        columns.extend([Column::new("day", ColumnType::Date), Column::new("at", ColumnType::Datetime)]);
        let literal = |name: &str, value: Value| {
            let parsed = parse(&json!({name: {"eq": value}}), &columns).map_err(|errors| errors[0].detail.clone());
            parsed.map(|filter| match filter {
                Filter::Compare(_, _, literal) => literal,
                other => panic!("{other:?}"),
            })
        };
        for (value, expected) in [
            (json!("INF"), f64::INFINITY),
            (json!("-INF"), f64::NEG_INFINITY),
            (json!("0.1"), 0.1),
            (json!(1e22), 1e22),
        ] {
            assert_eq!(literal("f", value), Ok(Literal::Float(expected)));
        }
        assert!(matches!(literal("f", json!("NaN")), Ok(Literal::Float(number)) if number.is_nan()));
        for (value, expected) in [
            (json!("NaN"), "NaN"),
            (json!("INF"), "Infinity"),
            (json!("-Infinity"), "-Infinity"),
            (json!("-1.50e3"), "-1500"),
            (json!(1e22), "10000000000000000000000"),
            (json!(1e-7), "0.0000001"),
        ] {
            assert_eq!(literal("d", value), Ok(Literal::Decimal(expected.into())));
        }
        for name in ["day", "at"] {
            for (text, is_negative) in [("infinity", false), ("-infinity", true)] {
                assert_eq!(literal(name, json!(text)), Ok(Literal::Infinity { is_negative }));
            }
        }
        assert_eq!(literal("t", json!("24:00:00")), Ok(Literal::EndOfDay));
        for (name, value) in [
            ("f", json!("nan")),
            ("f", json!("1e999")),
            ("f", json!("1,5")),
            ("f", json!(true)),
            ("d", json!("infinity")),
            ("d", json!("1e401")),
            ("d", json!("1".repeat(1_002))),
            ("t", json!("24:00:01")),
            ("t", json!("10:00:00.0000000001")),
            ("at", json!("2026-11-22T10:00:00.1234567891Z")),
            ("day", json!("INF")),
        ] {
            assert!(literal(name, value.clone()).unwrap_err().starts_with("expected "), "{name} {value}");
        }
    }

    #[test]
    fn a_deeply_nested_filter_is_refused() {
        let mut deep = json!({"delay": {"eq": 1}});
        for _ in 0..100 {
            deep = json!({"not": deep});
        }
        assert_eq!(error_pointers(deep).len(), 1);
    }

    #[test]
    fn a_huge_filter_is_refused_with_a_short_answer() {
        let many = |part: Value| json!({"or": vec![part; 300_000]});
        assert_eq!(error_pointers(many(json!({"delay": {"eq": 1}}))).len(), 1);
        assert!(error_pointers(many(json!({}))).len() <= MAX_ERRORS);
        assert_eq!(error_pointers(json!({"delay": {"in": vec!["x"; 9_000]}})).len(), MAX_ERRORS);
        assert_eq!(error_pointers(json!({"not": {}})), ["/filter/not"]);
    }

    #[test]
    fn a_policy_fails_when_a_claim_is_missing() {
        let policy = json!({"or": [{"tenant": {"eq": {"claim": "tenant"}}}]});
        let claims = json!({"tenant": "acme"});
        let bound = bind_claims(&policy, claims.as_object().unwrap()).unwrap();
        assert_eq!(bound, json!({"or": [{"tenant": {"eq": "acme"}}]}));
        assert_eq!(bind_claims(&policy, &Map::new()), Err("tenant".to_owned()));
    }

    #[test]
    fn a_policy_is_checked_without_claims() {
        let check = |policy: Value| check_policy(&policy, &columns());
        let policy =
            check(json!({"or": [{"delay": {"eq": {"claim": "d"}}}, {"origin": {"in": {"claim": "o"}}}]})).unwrap();
        assert_eq!(policy.columns(), ["delay", "origin"]);
        let pointers = |policy: Value| check(policy).unwrap_err().into_iter().map(|e| e.pointer).collect::<Vec<_>>();
        assert_eq!(pointers(json!({"nope": {"eq": {"claim": "d"}}})), ["/filter/nope"]);
        assert_eq!(pointers(json!({"origin": {"claim": "o"}})), ["/filter/origin/claim"]);
        assert_eq!(pointers(json!({"day": {"between": {"claim": "o"}}})), ["/filter/day/between"]);
        assert_eq!(pointers(json!({"day": {"eq": {"claim": 1}}})), ["/filter/day/eq"]);
        // rights that differ between two tokens of one user would not keep exports apart
        for claim in TOKEN_CLAIMS {
            let claim = json!({"claim": claim});
            assert_eq!(pointers(json!({"not": {"origin": {"eq": claim}}})), ["/filter/not/origin/eq"]);
            assert_eq!(pointers(json!({"origin": {"in": claim}})), ["/filter/origin/in"]);
            assert_eq!(pointers(json!({"origin": {"in": ["a", claim]}})), ["/filter/origin/in/1"]);
            assert_eq!(pointers(json!({"delay": {"between": [claim, 1]}})), ["/filter/delay/between/0"]);
        }
        for claim in ["acr", "amr", "tenant", "scope"] {
            check(json!({"origin": {"eq": {"claim": claim}}})).unwrap();
        }
    }

    #[test]
    fn a_filter_on_a_masked_column_is_refused() {
        let masked = [Column { masked: true, ..Column::new("email", ColumnType::String) }];
        let errors = parse(&json!({"not": {"email": {"like": "a%"}}}), &masked).unwrap_err();
        assert_eq!(errors[0].pointer, "/filter/not/email");
    }

    #[test]
    fn like_patterns_split_with_their_escapes_resolved() {
        assert_eq!(like_parts(r"a\%b%_"), [LikePart::Text("a%b".into()), LikePart::Any, LikePart::One]);
    }
}
