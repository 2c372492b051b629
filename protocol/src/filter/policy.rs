//! The claims in a row policy: `{"claim": "<name>"}` stands for the value of a claim of the caller's token.

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Map, Value};

use super::Literal;
use crate::catalog::ColumnType;

/// The name of the claim in a value `{"claim": "<name>"}` of a row policy; None for every other value.
pub(super) fn claim_name(value: &Value) -> Option<&str> {
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

/// Returns the placeholder for a claim value. [`check_policy`](super::check_policy) checks a row policy without a
/// caller, and so without claims.
pub(super) fn placeholder(kind: ColumnType) -> Literal {
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
