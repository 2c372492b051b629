//! Typed filters: `{"delay": {"gte": 30}, "origin": {"in": ["SEA", "JFK"]}, "or": [...], "not": {...}}`.
//!
//! An object is true when all its members are true. The gateway checks a filter against the columns of the dataset. The
//! exporter parses the filter again, and translates it into polars expressions or into SQL with bound parameters.

mod literal;
mod parse;
mod policy;
mod resolve;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;

pub use parse::{check_policy, parse};
pub use policy::{Unbound, bind_claims, policy_claims};
pub use resolve::resolve;

use crate::catalog::Column;

/// A checked filter: each column exists, and each value has the type of its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// True when all inner filters are true. An empty list is true.
    And(Vec<Filter>),
    /// True when at least one inner filter is true. An empty list is false.
    Or(Vec<Filter>),
    /// True when the inner filter is not true.
    Not(Box<Filter>),
    /// True when the comparison of the column with the value is true; never true for NULL.
    Compare(String, Compare, Literal),
    /// True when the column equals one of the values.
    In(String, Vec<Literal>),
    /// True when the column is between two values, both included.
    Between(String, Literal, Literal),
    /// True when the column is NULL (`true`) or not NULL (`false`).
    IsNull(String, bool),
    /// True when the text matches a SQL LIKE pattern: `%` matches any text, `_` matches one character, and `\` escapes.
    /// Case-sensitive.
    Like(String, String),
    /// True when the column contains this text. Case-sensitive, without wildcards.
    Contains(String, String),
}

impl Filter {
    /// The filter that accepts every row.
    #[must_use]
    pub const fn all() -> Self {
        Self::And(Vec::new())
    }

    /// Whether the filter is [`Filter::all`].
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::And(parts) if parts.is_empty())
    }

    /// The names of the columns in the filter, each once, in the order of their first use.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let mut out = Vec::new();
        self.collect_columns(&mut out);
        out
    }

    fn collect_columns<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect_columns(out)),
            Self::Not(inner) => inner.collect_columns(out),
            Self::Compare(name, ..)
            | Self::In(name, _)
            | Self::Between(name, ..)
            | Self::IsNull(name, _)
            | Self::Like(name, _)
            | Self::Contains(name, _) => {
                if !out.contains(&name.as_str()) {
                    out.push(name);
                }
            }
        }
    }
}

/// The names of all operators that a filter can apply to a column.
const OPERATORS: [&str; 11] = ["eq", "ne", "lt", "lte", "gt", "gte", "in", "between", "is_null", "like", "contains"];

/// Whether the member `name` of a filter is a condition on a column, and not `and`, `or` or `not`. If a column of the
/// dataset has one of these names, the form of the member decides. The value of `and` and `or` is a list, and a
/// condition on a column is an object. For `not`, the keys of its object decide: if they are operators, it is a
/// condition on the column `not`. The values in that object do not matter, because a claim of the caller may replace a
/// value of a row policy, and must not change the meaning of the policy.
fn names_column(name: &str, member: &Value, columns: &[Column]) -> bool {
    let has_column = || columns.iter().any(|column| column.name == name);
    match name {
        "and" | "or" => member.is_object() && has_column(),
        "not" => {
            let keys = member.as_object().filter(|members| !members.is_empty());
            keys.is_some_and(|members| members.keys().all(|key| OPERATORS.contains(&key.as_str()))) && has_column()
        }
        _ => true,
    }
}

/// A comparison operator of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `eq`: the values are equal.
    Eq,
    /// `ne`: the values are not equal.
    Ne,
    /// `lt`: the column is less than the value.
    Lt,
    /// `lte`: the column is less than or equal to the value.
    Lte,
    /// `gt`: the column is greater than the value.
    Gt,
    /// `gte`: the column is greater than or equal to the value.
    Gte,
}

/// A value with the type of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A value of a `string` column.
    String(String),
    /// A value of an `int` column.
    Int(i64),
    /// A value of a `float` column, which may be NaN or infinite.
    Float(f64),
    /// A value of a `decimal` column: a checked decimal text such as `-12.50`, or `NaN`, `Infinity` or `-Infinity`.
    Decimal(String),
    /// A value of a `bool` column.
    Bool(bool),
    /// A value of a `date` column.
    Date(NaiveDate),
    /// A value of a `datetime` column.
    Datetime(DateTime<Utc>),
    /// A value of a `time` column before `24:00:00`.
    Time(NaiveTime),
    /// The value `24:00:00` of a `time` column.
    EndOfDay,
    /// The value `infinity` or `-infinity` of a `date` or `datetime` column.
    Infinity {
        /// Whether the value is `-infinity`.
        is_negative: bool,
    },
}

/// One part of a LIKE pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LikePart {
    /// Matches exactly this text.
    Text(String),
    /// Matches any single character.
    One,
    /// Matches any text, including none.
    Any,
}

/// Splits a LIKE pattern into wildcards and unescaped texts.
#[must_use]
pub fn like_parts(pattern: &str) -> Vec<LikePart> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let wildcard = match c {
            '%' => LikePart::Any,
            '_' => LikePart::One,
            '\\' => {
                text.push(chars.next().unwrap_or('\\'));
                continue;
            }
            other => {
                text.push(other);
                continue;
            }
        };
        if !text.is_empty() {
            parts.push(LikePart::Text(std::mem::take(&mut text)));
        }
        parts.push(wildcard);
    }
    if !text.is_empty() {
        parts.push(LikePart::Text(text));
    }
    parts
}
