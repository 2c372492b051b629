//! Decodes JSON from clients. Every error becomes a [`FieldError`] with a JSON pointer to the invalid member.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::FieldError;

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

/// Appends one reference token to a JSON pointer (RFC 6901, section 3).
fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&escape(token));
}

/// The JSON pointer of a member below `pointer`.
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
    fn errors_carry_the_pointer_of_the_member() {
        let pointer = |v| decode::<Body>(v).unwrap_err().pointer;
        assert_eq!(pointer(json!({"dataset": 1})), "/dataset");
        assert_eq!(pointer(json!({"dataset": "a", "columns": ["x", 2]})), "/columns/1");
        assert_eq!(pointer(json!({"dataset": "a", "colums/": []})), "/colums~1");
        assert_eq!(pointer(json!({})), "/dataset");
    }
}
