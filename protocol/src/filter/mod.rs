//! Typed filters: `{"delay": {"gte": 30}, "origin": {"in": ["SEA", "JFK"]}, "or": [...], "not": {...}}`.
//!
//! The members of an object hold together (and). A filter is checked against the dataset's columns once, in the
//! gateway, and parsed again by the exporter, which turns it into polars expressions or bound SQL parameters.

mod parse;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

pub use parse::{bind_claims, check_policy, parse};

/// A filter whose columns exist and whose values have their columns' types.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of them hold; an empty list always holds.
    And(Vec<Filter>),
    /// At least one holds; an empty list never holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A comparison; never holds for NULL.
    Compare(String, Compare, Literal),
    /// The column is one of these.
    In(String, Vec<Literal>),
    /// Both ends included.
    Between(String, Literal, Literal),
    /// Whether the column is NULL.
    IsNull(String, bool),
    /// SQL's LIKE on text: `%` any text, `_` one character, `\` escapes. Case-sensitive.
    Like(String, String),
    /// The text holds this text. Case-sensitive, nothing is special.
    Contains(String, String),
}

impl Filter {
    /// The filter that every row passes.
    #[must_use]
    pub const fn all() -> Self {
        Self::And(Vec::new())
    }

    /// Whether it plainly is the one that every row passes.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::And(parts) if parts.is_empty())
    }

    /// The columns that it names, each once, in the order in which they are named.
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

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// A value of a column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// For `string` columns.
    String(String),
    /// For `int` columns.
    Int(i64),
    /// For `float` columns.
    Float(f64),
    /// For `decimal` columns: a checked decimal text such as `-12.50`.
    Decimal(String),
    /// For `bool` columns.
    Bool(bool),
    /// For `date` columns.
    Date(NaiveDate),
    /// For `datetime` columns.
    Datetime(DateTime<Utc>),
    /// For `time` columns.
    Time(NaiveTime),
}

/// One piece of a LIKE pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LikePart {
    /// This text.
    Text(String),
    /// Any one character.
    One,
    /// Any text, also none.
    Any,
}

/// The pieces of a LIKE pattern, with escapes resolved.
#[must_use]
pub fn like_parts(pattern: &str) -> Vec<LikePart> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let wild = match c {
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
        parts.push(wild);
    }
    if !text.is_empty() {
        parts.push(LikePart::Text(text));
    }
    parts
}
