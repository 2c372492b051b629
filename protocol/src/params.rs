//! The parameters of datasets. An exporter declares parameters, and the gateway checks the parameters of a request.

use chrono::{DateTime, NaiveDate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    json::child,
    problem::FieldError,
    relative::{self, Reference},
    time::is_finer_than,
};

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// A single text value.
    String,
    /// A whole number of 64 bits.
    Int,
    /// A floating-point number of 64 bits.
    Float,
    /// Either true or false.
    Bool,
    /// A list of at least one text.
    Strings,
    /// A calendar date such as `2026-11-22`.
    Date,
    /// An instant as RFC 3339 text.
    Datetime,
}

/// The declaration of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// The name of the parameter in `params`.
    pub name: String,
    /// The type of the value.
    pub kind: ParamType,
    /// The description of the parameter, for users.
    pub description: String,
    /// The value when the request omits the parameter. A parameter without a default is required.
    pub default: Option<Value>,
    /// The maximum number of values in a list; None for no maximum.
    pub max_items: Option<usize>,
}

impl ParamSpec {
    /// Returns the declaration of a required parameter without a description.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ParamType) -> Self {
        Self { name: name.into(), kind, description: String::new(), default: None, max_items: None }
    }
}

/// The maximum number of unknown parameters that one answer lists.
const MAX_ERRORS: usize = 20;

/// The JSON Schema (2020-12) of `params`.
#[must_use]
pub fn json_schema(specs: &[ParamSpec]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for spec in specs {
        let mut schema = match spec.kind {
            ParamType::String => json!({"type": "string"}),
            ParamType::Int => json!({"type": "integer"}),
            ParamType::Float => json!({"type": "number"}),
            ParamType::Bool => json!({"type": "boolean"}),
            ParamType::Strings => json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            ParamType::Date => json!({"type": "string", "format": "date"}),
            ParamType::Datetime => json!({"type": "string", "format": "date-time"}),
        };
        schema["description"] = json!(spec.description);
        if let Some(default) = &spec.default {
            schema["default"] = default.clone();
        } else {
            required.push(spec.name.clone());
        }
        if let Some(max) = spec.max_items {
            schema["maxItems"] = json!(max);
        }
        properties.insert(spec.name.clone(), schema);
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Checks the parameters of a request against their declarations, and adds the defaults.
///
/// # Errors
/// All errors, with pointers below `/params`.
pub fn check(specs: &[ParamSpec], given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut errors = Vec::new();
    for name in given.keys().filter(|name| specs.iter().all(|s| s.name != **name)).take(MAX_ERRORS) {
        let known: Vec<_> = specs.iter().map(|s| s.name.as_str()).collect();
        let detail = if known.is_empty() {
            "this dataset has no parameters".to_owned()
        } else {
            format!("unknown parameter; this dataset has {}", known.join(", "))
        };
        errors.push(FieldError::new(child("/params", name), detail));
    }
    let mut out = Map::new();
    for spec in specs {
        let pointer = child("/params", &spec.name);
        match (given.get(&spec.name), &spec.default) {
            (Some(value), _) => match value_error(spec, value) {
                None => {
                    out.insert(spec.name.clone(), value.clone());
                }
                Some(detail) => errors.push(FieldError::new(pointer, detail)),
            },
            (None, Some(default)) => {
                out.insert(spec.name.clone(), default.clone());
            }
            (None, None) => errors.push(FieldError::new(pointer, "this parameter is required")),
        }
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// Replaces each relative time, such as `now-1d`, in a date or datetime parameter by an absolute time.
///
/// # Errors
///
/// All errors, with pointers below `/params`.
pub fn resolve(
    specs: &[ParamSpec],
    given: &Map<String, Value>,
    reference: &Reference,
) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut resolved = given.clone();
    for spec in specs {
        let is_date = spec.kind == ParamType::Date;
        let Some(Value::String(text)) = given.get(&spec.name) else { continue };
        if !(is_date || spec.kind == ParamType::Datetime) || !relative::is_relative(text) {
            continue;
        }
        match reference.resolve(text) {
            Ok(moment) => {
                let text = if is_date { relative::date_text(&moment) } else { relative::instant_text(&moment) };
                resolved.insert(spec.name.clone(), text.into());
            }
            Err(e) => errors.push(FieldError::new(child("/params", &spec.name), e.to_string())),
        }
    }
    if errors.is_empty() { Ok(resolved) } else { Err(errors) }
}

/// Returns the reason why a value is invalid for this parameter. Returns None for a valid value.
#[must_use]
pub fn value_error(spec: &ParamSpec, value: &Value) -> Option<String> {
    let nul = |value: &Value| value.as_str().is_some_and(|text| text.contains('\0'));
    if nul(value) || value.as_array().is_some_and(|values| values.iter().any(nul)) {
        return Some("expected a text without the character U+0000".to_owned());
    }
    let fits = match spec.kind {
        ParamType::String => value.is_string(),
        ParamType::Int => value.is_i64(),
        ParamType::Float => value.is_number(),
        ParamType::Bool => value.is_boolean(),
        ParamType::Strings => value.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(Value::is_string)),
        ParamType::Date => value.as_str().is_some_and(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()),
        ParamType::Datetime => value.as_str().is_some_and(|text| DateTime::parse_from_rfc3339(text).is_ok()),
    };
    if !fits {
        let wanted = match spec.kind {
            ParamType::String => "a string",
            ParamType::Int => "a whole number",
            ParamType::Float => "a number",
            ParamType::Bool => "true or false",
            ParamType::Strings => "a list of at least one string",
            ParamType::Date => "a date such as \"2026-11-22\"",
            ParamType::Datetime => "a time such as \"2026-11-22T15:26:01Z\"",
        };
        return Some(format!("expected {wanted}"));
    }
    if spec.kind == ParamType::Datetime && value.as_str().is_some_and(|text| is_finer_than(text, 6)) {
        return Some("expected at most six digits after the second: databases store microseconds".to_owned());
    }
    let max = spec.max_items?;
    let count = value.as_array()?.len();
    (count > max).then(|| format!("{count} values are too many; at most {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_finer_than_a_microsecond_is_refused() {
        let spec = ParamSpec::new("at", ParamType::Datetime);
        for (text, is_fine) in [
            ("2026-11-22T15:26:01Z", true),
            ("2026-11-22T15:26:01.123456Z", true),
            ("2026-11-22T15:26:01.123456000+01:00", true),
            ("2026-11-22T15:26:01.1234567Z", false),
            ("2026-11-22T15:26:01.000000000001+01:00", false),
        ] {
            assert_eq!(value_error(&spec, &json!(text)).is_none(), is_fine, "{text}");
        }
    }

    #[test]
    fn a_text_with_u_0000_is_refused() {
        for (kind, value) in [
            (ParamType::String, json!("a\0b")),
            (ParamType::Strings, json!(["a", "\0"])),
            (ParamType::Date, json!("2026-11-22\0")),
        ] {
            let error = value_error(&ParamSpec::new("p", kind), &value);
            assert!(error.is_some_and(|error| error.contains("U+0000")), "{value}");
        }
    }

    fn muscles_spec() -> Vec<ParamSpec> {
        vec![ParamSpec {
            name: "muscles".into(),
            kind: ParamType::Strings,
            description: "names".into(),
            default: None,
            max_items: Some(2),
        }]
    }

    fn error_pointers(given: Value) -> Vec<String> {
        let errors = check(&muscles_spec(), given.as_object().unwrap()).unwrap_err();
        errors.into_iter().map(|e| e.pointer).collect()
    }

    #[test]
    fn errors_name_each_parameter() {
        assert_eq!(error_pointers(json!({})), ["/params/muscles"]);
        assert_eq!(error_pointers(json!({"muscles": "a"})), ["/params/muscles"]);
        assert_eq!(error_pointers(json!({"muscles": ["a", "b", "c"]})), ["/params/muscles"]);
        assert_eq!(error_pointers(json!({"muscle": ["a"]})), ["/params/muscle", "/params/muscles"]);
        assert!(check(&muscles_spec(), json!({"muscles": ["a"]}).as_object().unwrap()).is_ok());
    }

    #[test]
    fn dates_and_moments_relative_to_now_are_resolved() {
        let specs = [
            ParamSpec::new("day", ParamType::Date),
            ParamSpec::new("at", ParamType::Datetime),
            ParamSpec::new("word", ParamType::String),
        ];
        let now = DateTime::parse_from_rfc3339("2026-03-29T22:30:00Z").unwrap().to_utc();
        let reference = Reference { now, zone: chrono_tz::Europe::Berlin };
        let given = json!({"day": "now/d", "at": "now/d", "word": "now/d", "other": "now"});
        let resolved = resolve(&specs, given.as_object().unwrap(), &reference).unwrap();
        let expected = json!({"day": "2026-03-30", "at": "2026-03-29T22:00:00.000Z", "word": "now/d", "other": "now"});
        assert_eq!(Value::Object(resolved), expected);
        let wrong = json!({"day": "now-1", "at": "now+x"});
        let errors = resolve(&specs, wrong.as_object().unwrap(), &reference).unwrap_err();
        assert_eq!(errors.iter().map(|e| e.pointer.as_str()).collect::<Vec<_>>(), ["/params/day", "/params/at"]);
    }

    #[test]
    fn a_parameter_with_a_default_is_optional() {
        let specs =
            [ParamSpec { default: Some(json!(3)), kind: ParamType::Int, max_items: None, ..muscles_spec().remove(0) }];
        assert_eq!(check(&specs, &Map::new()).unwrap()["muscles"], 3);
        assert_eq!(json_schema(&specs)["required"], json!([]));
    }
}
