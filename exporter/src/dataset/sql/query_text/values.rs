//! Writes the values of query parameters, as bound values or as SQL literals.

use chrono::{DateTime, NaiveDate, Utc};
use protocol::params::{ParamSpec, ParamType};
use sea_orm::{
    Value as Bound,
    sea_query::{PostgresQueryBuilder, QueryBuilder},
};
use serde_json::{Map, Value};

use super::super::spelling;

/// How the parameters of a PostgreSQL query get their SQL types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Typing {
    /// Each value is cast to the declared type of its parameter.
    #[default]
    Declared,
    /// Each value has the SQL type that it would have as a constant in the query's text. A text has no fixed type,
    /// because PostgreSQL infers its type from the context, such as `uuid` in a comparison with a `uuid` column. A
    /// whole number is an `integer`, or a `bigint` if it is too large for an `integer`. A float is a `numeric`. Other
    /// values have the declared type of their parameter.
    Constant,
}

impl Typing {
    /// Returns a PostgreSQL expression that gives `written` the SQL type of a parameter. `kind` is the declared type of
    /// the parameter, and `written` is a literal, a placeholder or NULL. `value` is the parameter's value; None if the
    /// value is unknown.
    pub(super) fn cast(self, kind: ParamType, value: Option<&Bound>, written: &str) -> String {
        let is_large = matches!(value, Some(Bound::BigInt(Some(number))) if i32::try_from(*number).is_err());
        let kind = match (kind, self) {
            // the parentheses separate the literal from a quoted text that follows
            (ParamType::String | ParamType::Strings, Self::Constant) => return format!("({written})"),
            (ParamType::String | ParamType::Strings, Self::Declared) => "text",
            (ParamType::Int, Self::Constant) if !is_large => "integer",
            (ParamType::Int, _) => "bigint",
            (ParamType::Float, Self::Constant) => "numeric",
            (ParamType::Float, Self::Declared) => "double precision",
            (ParamType::Bool, _) => "boolean",
            (ParamType::Date, _) => "date",
            (ParamType::Datetime, _) => "timestamp with time zone",
        };
        // the space separates the keyword from a word before it
        format!(" CAST({written} AS {kind})")
    }
}

/// Whether [`Typing::Declared`] and [`Typing::Constant`] give different SQL for a parameter of type `kind`. The result
/// is true for texts and numbers.
pub(super) const fn depends_on_typing(kind: ParamType) -> bool {
    matches!(kind, ParamType::String | ParamType::Strings | ParamType::Int | ParamType::Float)
}

/// Returns the values of a parameter. A list parameter has several values. Returns None if the value is missing, is an
/// empty list, has another type than the declared type, or is a text that no database can store.
pub(super) fn values(spec: &ParamSpec, params: &Map<String, Value>) -> Option<Vec<Bound>> {
    let text = |value: &Value| value.as_str().filter(|text| !text.contains('\0')).map(Bound::from);
    let value = params.get(&spec.name)?;
    Some(match spec.kind {
        ParamType::String => vec![text(value)?],
        ParamType::Int => vec![value.as_i64()?.into()],
        ParamType::Float => vec![value.as_f64()?.into()],
        ParamType::Bool => vec![value.as_bool()?.into()],
        ParamType::Strings => {
            let list = value.as_array().filter(|list| !list.is_empty())?;
            list.iter().map(text).collect::<Option<Vec<_>>>()?
        }
        ParamType::Date => vec![NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?.into()],
        ParamType::Datetime => {
            vec![DateTime::parse_from_rfc3339(value.as_str()?).ok()?.with_timezone(&Utc).into()]
        }
    })
}

/// Returns a value as a quoted SQL literal without a type. The escapes of the literal don't depend on the setting
/// `standard_conforming_strings`. Returns None for a value of a type that no parameter has.
pub(super) fn literal(value: &Bound) -> Option<String> {
    let text = match value {
        Bound::String(Some(text)) => text.clone(),
        Bound::BigInt(Some(number)) => number.to_string(),
        Bound::Double(Some(number)) => format!("{number:?}"),
        Bound::Bool(Some(is)) => is.to_string(),
        Bound::ChronoDate(Some(date)) => spelling::date(*date),
        Bound::ChronoDateTimeUtc(Some(time)) => spelling::datetime(time),
        _ => return None,
    };
    Some(PostgresQueryBuilder.value_to_string(&text.into()))
}
