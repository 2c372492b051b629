//! Replaces the claims in a row policy. In a policy, `{"claim": "<name>"}` stands for the value of a claim in the
//! caller's token.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Map, Value};

use super::{Literal, literal::literal, names_column};
use crate::{
    catalog::{Column, ColumnType},
    json::child,
    problem::FieldError,
};

/// The names of claims whose value is a text in every token. The gateway refuses tokens in which they have another
/// type.
pub(super) const TEXT_CLAIMS: [&str; 3] = ["tenant", "sub", "iss"];
/// The number of characters of a UUID in its canonical form (RFC 9562, section 4).
const UUID_LENGTH: usize = 36;

/// Why the claims of a caller can't be put into a row policy. Sluice must then refuse the export.
#[derive(Debug, PartialEq, Eq)]
pub enum Unbound {
    /// The token of the caller lacks the claim with this name.
    Missing(String),
    /// The value of a claim can't be compared with its column. The error text names the claim and the column, and does
    /// not repeat the value.
    Unfit(FieldError),
}

/// Returns the name of the claim in a value `{"claim": "<name>"}` of a row policy. Returns None for every other value.
pub(super) fn claim_name(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get("claim")?.as_str()
}

/// Replaces each `{"claim": "<name>"}` in a row policy by the value of this claim in the caller's token. The value gets
/// the type of the column with which it is compared: for a column of numbers, a text of digits becomes a number. For a
/// column of texts, a whole number becomes a text. If `is_uuid` returns true for the name of a column, a UUID becomes
/// lower case.
///
/// Only one text is accepted for each number, so that two tenants with the names `42` and `042` can't see the same
/// rows.
///
/// # Errors
///
/// When the token of the caller lacks a claim, or a claim can't be compared with its column.
pub fn bind_claims(
    policy: &Value,
    claims: &Map<String, Value>,
    columns: &[Column],
    is_uuid: &dyn Fn(&str) -> bool,
) -> Result<Value, Unbound> {
    Binder { claims, columns, is_uuid }.filter(policy, "/filter")
}

/// The names of the claims in a row policy, sorted and without duplicates.
#[must_use]
pub fn policy_claims(policy: &Value) -> Vec<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        if let Some(name) = claim_name(value) {
            names.insert(name.to_owned());
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(members) => members.values().for_each(|member| collect(member, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    collect(policy, &mut names);
    names.into_iter().collect()
}

struct Binder<'a> {
    claims: &'a Map<String, Value>,
    columns: &'a [Column],
    is_uuid: &'a dyn Fn(&str) -> bool,
}

impl Binder<'_> {
    fn filter(&self, filter: &Value, at: &str) -> Result<Value, Unbound> {
        let Value::Object(members) = filter else { return Ok(filter.clone()) };
        let bound = members.iter().map(|(name, member)| {
            let at = child(at, name);
            let bound = match (name.as_str(), member) {
                (name, operators) if names_column(name, operators, self.columns) => {
                    self.operators(name, operators, &at)
                }
                ("and" | "or", Value::Array(parts)) => {
                    let parts = parts.iter().enumerate();
                    parts.map(|(index, part)| self.filter(part, &child(&at, &index.to_string()))).collect()
                }
                (_, inner) => self.filter(inner, &at),
            };
            Ok((name.clone(), bound?))
        });
        bound.collect::<Result<_, _>>().map(Value::Object)
    }

    /// Replaces the claims in the conditions on one column. Leaves the conditions on an unknown column unchanged,
    /// because the parser of filters reports it.
    fn operators(&self, name: &str, operators: &Value, at: &str) -> Result<Value, Unbound> {
        let Some(column) = self.columns.iter().find(|column| column.name == name) else { return Ok(operators.clone()) };
        let Value::Object(members) = operators else { return Ok(operators.clone()) };
        let bound = members.iter().map(|(operator, operand)| {
            let at = child(at, operator);
            let takes_list = operator == "in";
            let is_equality = takes_list || operator == "eq" || operator == "ne";
            let bound = match (claim_name(operand), operand) {
                (Some(claim), _) => match self.claim(claim)? {
                    Value::Array(items) if takes_list => {
                        items.iter().map(|item| self.fitted(column, claim, item, is_equality, &at)).collect()
                    }
                    // the parser refuses it
                    other if takes_list => Ok(other.clone()),
                    value => self.fitted(column, claim, value, is_equality, &at),
                },
                (None, Value::Array(items)) => {
                    let items = items.iter().enumerate().map(|(index, item)| match claim_name(item) {
                        None => Ok(item.clone()),
                        Some(claim) => {
                            let at = child(&at, &index.to_string());
                            self.fitted(column, claim, self.claim(claim)?, is_equality, &at)
                        }
                    });
                    items.collect()
                }
                (None, other) => Ok(other.clone()),
            };
            Ok((operator.clone(), bound?))
        });
        bound.collect::<Result<_, _>>().map(Value::Object)
    }

    fn claim(&self, name: &str) -> Result<&Value, Unbound> {
        self.claims.get(name).ok_or_else(|| Unbound::Missing(name.to_owned()))
    }

    /// Returns the value of a claim in the type of a column. `is_equality` is true if the operator tests for equality.
    fn fitted(
        &self,
        column: &Column,
        claim: &str,
        value: &Value,
        is_equality: bool,
        at: &str,
    ) -> Result<Value, Unbound> {
        let unfit = |expected: &str| {
            let detail = format!("the claim `{claim}` can't be compared with the column `{}`: {expected}", column.name);
            Unbound::Unfit(FieldError::new(at, detail))
        };
        let fitted = match (column.kind, value) {
            (ColumnType::Int, Value::String(text)) => {
                text.parse::<i64>().ok().filter(|number| number.to_string() == *text).map(Value::from).ok_or_else(|| {
                    unfit(
                        "expected a whole number of 64 bits in its shortest form, such as 42 or \"42\", without leading \
                         zeros",
                    )
                })?
            }
            (ColumnType::Decimal | ColumnType::Float, Value::String(text)) if is_equality && !is_shortest(text) => {
                return Err(unfit("expected a number in its shortest form, such as 42, without leading zeros"));
            }
            (ColumnType::String, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                number.to_string().into()
            }
            (ColumnType::String, Value::String(text)) if (self.is_uuid)(&column.name) && is_uuid(text) => {
                text.to_ascii_lowercase().into()
            }
            _ => value.clone(),
        };
        literal(column, &fitted).map(|_| fitted).map_err(|expected| unfit(&expected))
    }
}

/// Whether a text is the only accepted text of its number: it has no leading zeros, no zeros at the end of a fraction
/// and no exponent, and it is not `-0`.
fn is_shortest(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "1"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && are_digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && !fraction.ends_with('0')
        && text != "-0"
}

/// Whether a text is a UUID in its canonical form, in any case.
fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Returns a placeholder for the value of a claim. [`check_policy`](super::check_policy) checks a row policy without a
/// caller, so no claims exist.
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

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
