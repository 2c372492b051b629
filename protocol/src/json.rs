//! Strict reading of client input: every fault becomes a [`FieldError`] with its JSON pointer.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::FieldError;

/// Reads `value` as `T`. Types that clients send refuse unknown members (`deny_unknown_fields`).
///
/// # Errors
/// The fault and where it is.
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
        // serde names an unknown or missing member in its text alone; the path ends at the object around it
        if let Some(name) = quoted(&detail, "unknown field `").or_else(|| quoted(&detail, "missing field `"))
            && !pointer.ends_with(&format!("/{}", escape(name)))
        {
            push(&mut pointer, name);
        }
        FieldError { pointer, detail }
    })
}

/// Appends one reference token to a JSON pointer (RFC 6901, section 3).
pub fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&escape(token));
}

/// `pointer` with one more token.
#[must_use]
pub fn child(pointer: &str, token: &str) -> String {
    let mut out = pointer.to_owned();
    push(&mut out, token);
    out
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
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
    fn faults_are_named_by_pointer() {
        let at = |v| decode::<Body>(v).unwrap_err().pointer;
        assert_eq!(at(json!({"dataset": 1})), "/dataset");
        assert_eq!(at(json!({"dataset": "a", "columns": ["x", 2]})), "/columns/1");
        assert_eq!(at(json!({"dataset": "a", "colums/": []})), "/colums~1");
        assert_eq!(at(json!({})), "/dataset");
    }
}
