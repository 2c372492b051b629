//! Parses and decodes JSON from clients. Every error of [`decode`] contains a JSON pointer to the invalid member.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::{decimal, problem::FieldError};

/// Parses the JSON text of a request. In its member `filter`, or in the `filter` of its member `request`, each number
/// that a [`Value`] would round becomes a string with the digits of the text, so that a filter on a decimal column
/// compares all digits.
///
/// # Errors
/// When the text is not JSON, or when an object in the text has two members of the same name. In the second case,
/// [`serde_json::Error::is_data`] is true. Such a text is refused, because parsers do not agree which of the two
/// members counts.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let nested = || member(member(text, "request")?.as_bytes(), "filter");
    if let Some(filter) = member(text, "filter").or_else(nested)
        && let Cow::Owned(quoted) = quote_long_numbers(filter)
        // `filter` borrows from `text`, so the pointers yield its position in `text`
        && let Some(at) = (filter.as_ptr() as usize).checked_sub(text.as_ptr() as usize)
        && let (Some(before), Some(after)) = (text.get(..at), text.get(at + filter.len()..))
    {
        let replaced = [before, quoted.as_bytes(), after].concat();
        return serde_json::from_slice(&replaced).map(|Unique(parsed)| parsed);
    }
    serde_json::from_slice(text).map(|Unique(parsed)| parsed)
}

/// Returns the JSON text of a member of an object; None if the text is no object or has no such member.
fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a str> {
    let mut members = serde_json::from_slice::<HashMap<String, &RawValue>>(object).ok()?;
    members.remove(name).map(RawValue::get)
}

/// Parses the JSON text of a filter as [`parse`] does.
///
/// # Errors
/// The same errors as [`parse`].
pub fn parse_filter(text: &str) -> Result<Value, serde_json::Error> {
    // `quote_long_numbers` requires valid JSON
    let raw: &RawValue = serde_json::from_str(text)?;
    serde_json::from_str(&quote_long_numbers(raw.get())).map(|Unique(filter)| filter)
}

/// The maximum length of a member's name in an error text, in characters.
const MAX_NAME: usize = 64;

/// A JSON value in which no object has two members of the same name.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(is.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let shown: String = name.chars().take(MAX_NAME).collect();
                return Err(A::Error::custom(format!("the member `{shown}` occurs twice")));
            }
            let Unique(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// Returns a JSON text in which each number that a [`Value`] would round is a string with the digits of the number.
fn quote_long_numbers(json: &str) -> Cow<'_, str> {
    let mut quoted = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(byte) = json.as_bytes().get(at) {
        let length = match byte {
            b'"' => string_length(&json[at..]),
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let length = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
                let length = length.unwrap_or(rest.len());
                if !is_exact(&rest[..length]) {
                    quoted.push_str(&json[copied..at]);
                    quoted.push('"');
                    quoted.push_str(&rest[..length]);
                    quoted.push('"');
                    copied = at + length;
                }
                length
            }
            _ => 1,
        };
        at += length;
    }
    if copied == 0 {
        return json.into();
    }
    quoted.push_str(&json[copied..]);
    quoted.into()
}

/// Returns the length of the JSON string at the beginning of a valid JSON text, with its quotes, in bytes.
fn string_length(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// Whether a [`Value`] holds the JSON number with this text without rounding.
fn is_exact(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let held = number.parse().ok().and_then(serde_json::Number::from_f64).map(|held| held.to_string());
    match (decimal::plain(number), held.as_deref().and_then(decimal::plain)) {
        (Some(number), Some(held)) => decimal::compare(&number, &held).is_eq(),
        _ => false,
    }
}

/// Decodes `value` as `T`. A type with `deny_unknown_fields` also refuses unknown members.
///
/// # Errors
/// The first error, with a pointer to the invalid member.
pub fn decode<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let mut pointer = String::new();
        for segment in e.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => push(&mut pointer, &index.to_string()),
                Segment::Map { key } => push(&mut pointer, key),
                Segment::Enum { variant } => push(&mut pointer, variant),
                Segment::Unknown => {}
            }
        }
        let detail = e.into_inner().to_string();
        // serde names an unknown or missing member in the error text only; the path ends at the enclosing object
        if let Some(name) = quoted_name(&detail, "unknown field `").or_else(|| quoted_name(&detail, "missing field `"))
            && !pointer.ends_with(&format!("/{}", escape(name)))
        {
            push(&mut pointer, name);
        }
        FieldError { pointer, detail }
    })
}

/// Appends a name or index to a JSON pointer, with the escapes of RFC 6901, section 3.
fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&escape(token));
}

/// Returns the JSON pointer of the member `token` below `pointer`.
#[must_use]
pub fn child(pointer: &str, token: &str) -> String {
    let mut out = pointer.to_owned();
    push(&mut out, token);
    out
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn quoted_name<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split('`').next()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Body {
        dataset: String,
        columns: Option<Vec<String>>,
    }

    #[test]
    fn a_long_number_in_a_filter_keeps_its_digits() {
        for (number, kept) in [
            ("12345678901234567.89", "\"12345678901234567.89\""),
            ("0.1000000000000000055", "\"0.1000000000000000055\""),
            ("123456789012345678901234567890", "\"123456789012345678901234567890\""),
            ("-1.00000000000000000001e3", "\"-1.00000000000000000001e3\""),
            ("1e-330", "\"1e-330\""),
            ("0.30000000000000004", "0.30000000000000004"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.10", "1.1"),
            ("1E+3", "1000.0"),
            ("0", "0"),
        ] {
            for (text, expected) in [
                (
                    format!(r#"{{"filter": {{"p": {{"eq": {number}}}}}}}"#),
                    format!(r#"{{"filter":{{"p":{{"eq":{kept}}}}}}}"#),
                ),
                (
                    format!(r#"{{"filter": {{"a\"0.1000000000000000055": {{"in": ["1\\", {number}, {number} ]}}}}}}"#),
                    format!(r#"{{"filter":{{"a\"0.1000000000000000055":{{"in":["1\\",{kept},{kept}]}}}}}}"#),
                ),
            ] {
                assert_eq!(
                    parse(text.as_bytes()).unwrap(),
                    serde_json::from_str::<Value>(&expected).unwrap(),
                    "{text}"
                );
            }
        }
        // numbers in other members are rounded, as JSON libraries do
        let text = br#"{"filter": {"p": {"eq": 0.1000000000000000055}}, "n": 0.1000000000000000055}"#;
        assert_eq!(parse(text).unwrap(), json!({"filter": {"p": {"eq": "0.1000000000000000055"}}, "n": 0.1}));
        assert_eq!(parse(b"{\"filter\": 1e999}").unwrap(), json!({"filter": "1e999"}));
        let nested = br#"{"name": "n", "request": {"filter": {"p": {"eq": 0.1000000000000000055}}}}"#;
        assert_eq!(parse(nested).unwrap()["request"]["filter"], json!({"p": {"eq": "0.1000000000000000055"}}));
        assert!(parse(b"{\"n\": 1e999}").is_err() && parse(b"[1").is_err() && parse_filter("{").is_err());
        assert_eq!(parse_filter(r#"{"p": {"eq": 1e400}}"#).unwrap(), json!({"p": {"eq": "1e400"}}));
        assert_eq!(parse(b"[0.1]").unwrap(), json!([0.1]));
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused_wherever_it_stands() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"filter": {"a": {"eq": 1}, "\u0061": {"eq": 2}}}"#,
            r#"{"params": {"b": [{"a": null, "c": true, "a": "x"}]}}"#,
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.is_data() && error.to_string().starts_with("the member `a` occurs twice"), "{error}");
        }
        let text = r#"{"a": {"a": [1, -1, 1.5, "a", null, true, {}, []]}, "b": {"a": 18446744073709551615}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert!(parse(b"{\"a\": 1").unwrap_err().is_eof());
    }

    #[test]
    fn errors_carry_the_pointer_of_the_member() {
        let pointer = |v| decode::<Body>(v).unwrap_err().pointer;
        assert_eq!(pointer(json!({"dataset": 1})), "/dataset");
        assert_eq!(pointer(json!({"dataset": "a", "columns": ["x", 2]})), "/columns/1");
        assert_eq!(pointer(json!({"dataset": "a", "colums/": []})), "/colums~1");
        assert_eq!(pointer(json!({})), "/dataset");
    }
}
