//! A select that somebody wrote by hand, with `:name` where a parameter stands.
//!
//! The text is an operator's and is taken as it is; what clients send never becomes part of it: parameters are bound, or
//! written as literals where a statement can't have bound ones.

use chrono::{DateTime, NaiveDate, Utc};
use protocol::params::{ParamSpec, ParamType};
use sea_orm::{
    DbBackend, Statement, Value as Bound, Values,
    sea_query::{PostgresQueryBuilder, QueryBuilder, SelectStatement, SqliteQueryBuilder},
};
use serde_json::{Map, Value};

use super::{super::DatasetError, SOURCE};

/// A select in pieces: text, and parameters between.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Param(ParamSpec),
}

/// Why a text is no select with these parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// Something else than one select.
    #[error("a query begins with SELECT, WITH, VALUES or TABLE, and has no `;`")]
    NoSelect,
    /// A quote or comment that does not end.
    #[error("a quote or comment in the query has no end")]
    Open,
    /// Nobody declares it.
    #[error("the query names `:{0}`, which is no declared parameter")]
    Undeclared(String),
    /// Nobody uses it.
    #[error("the parameter `{0}` does not stand in the query")]
    Unused(String),
}

impl Raw {
    /// Reads a select. `:name` outside of quotes and comments is a parameter; `::` is a cast.
    ///
    /// # Errors
    /// When it is something else, or names and parameters don't match.
    pub fn parse(text: &str, params: &[ParamSpec]) -> Result<Self, RawError> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let first = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
        if !["select", "with", "values", "table"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Err(RawError::NoSelect);
        }
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text[at..];
            if let Some(length) = opaque(rest)? {
                at += length;
            } else if rest.starts_with(';') {
                return Err(RawError::NoSelect);
            } else if rest.starts_with("::") {
                at += 2;
            } else if let Some(name) = placeholder(rest) {
                let spec = params.iter().find(|spec| spec.name == name);
                let spec = spec.ok_or_else(|| RawError::Undeclared(name.to_owned()))?;
                pieces.push(Piece::Text(text[from..at].to_owned()));
                pieces.push(Piece::Param(spec.clone()));
                at += 1 + name.len();
                from = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        pieces.push(Piece::Text(text[from..].to_owned()));
        let used = |spec: &&ParamSpec| {
            pieces.iter().any(|piece| matches!(piece, Piece::Param(used) if used.name == spec.name))
        };
        match params.iter().find(|spec| !used(spec)) {
            Some(unused) => Err(RawError::Unused(unused.name.clone())),
            None => Ok(Self { pieces }),
        }
    }

    /// This query as a common table expression before a select that reads from it, everything bound.
    pub(super) fn before(
        &self,
        select: &SelectStatement,
        params: &Map<String, Value>,
        backend: DbBackend,
    ) -> Result<Statement, DatasetError> {
        let mut bound = Vec::new();
        let mut text = self.text(params, |value| {
            bound.push(value);
            match backend {
                DbBackend::Postgres => format!("${}", bound.len()),
                _ => "?".to_owned(),
            }
        })?;
        let (outer, Values(values)) = match backend {
            DbBackend::Postgres => {
                // its own placeholders come after ours
                let mut collector = Shifted { after: bound.len(), sql: String::new(), values: Vec::new() };
                PostgresQueryBuilder.prepare_select_statement(select, &mut collector);
                (collector.sql, Values(collector.values))
            }
            _ => select.build(SqliteQueryBuilder),
        };
        text.push_str(&outer);
        bound.extend(values);
        Ok(Statement::from_sql_and_values(backend, text, bound))
    }

    /// The same for PostgreSQL, with literals instead of bound values.
    pub(in crate::dataset) fn literal(&self, params: &Map<String, Value>) -> Result<String, DatasetError> {
        self.text(params, |value| PostgresQueryBuilder.value_to_string(&value))
    }

    /// The same with NULL for each parameter: enough for a server to say which columns there are.
    pub(in crate::dataset) fn described(&self) -> String {
        let null = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(_) => "NULL".to_owned(),
        };
        format!("WITH \"{SOURCE}\" AS ({}\n) ", self.pieces.iter().map(null).collect::<String>())
    }

    /// The same with `$1`, `$2` and so on for each place where a parameter stands: enough for a server to plan it.
    pub(in crate::dataset) fn numbered(&self) -> String {
        let mut place = 0;
        let number = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(_) => {
                place += 1;
                format!("${place}")
            }
        };
        format!("WITH \"{SOURCE}\" AS ({}\n) ", self.pieces.iter().map(number).collect::<String>())
    }

    /// How many places there are where a parameter stands.
    pub(in crate::dataset) fn places(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Param(_))).count()
    }

    /// `WITH source AS (…)`, with what `write` makes of each value.
    fn text(
        &self,
        params: &Map<String, Value>,
        mut write: impl FnMut(Bound) -> String,
    ) -> Result<String, DatasetError> {
        let mut out = format!("WITH \"{SOURCE}\" AS (");
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Param(spec) => {
                    let values = bound(spec, params).ok_or_else(|| DatasetError::Param(spec.name.clone()))?;
                    let written: Vec<_> = values.into_iter().map(&mut write).collect();
                    out.push_str(&written.join(", "));
                }
            }
        }
        // a comment at the end of the query ends with its line
        out.push_str("\n) ");
        Ok(out)
    }
}

/// The length of what stands here and must not be looked into: a quoted text or name, or a comment.
fn opaque(rest: &str) -> Result<Option<usize>, RawError> {
    let closed = |open: usize, close: &str| {
        rest[open..].find(close).map(|at| Some(open + at + close.len())).ok_or(RawError::Open)
    };
    if rest.starts_with('\'') {
        // a doubled quote is an end and a new begin
        return closed(1, "'");
    }
    if rest.starts_with('"') {
        return closed(1, "\"");
    }
    if rest.starts_with("/*") {
        return closed(2, "*/");
    }
    if rest.starts_with("--") {
        return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    Ok(None)
}

/// The name after a colon.
fn placeholder(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix(':')?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (end > 0 && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| &name[..end])
}

/// The values of a parameter; a list has several.
fn bound(spec: &ParamSpec, params: &Map<String, Value>) -> Option<Vec<Bound>> {
    let value = params.get(&spec.name)?;
    Some(match spec.kind {
        ParamType::String => vec![value.as_str()?.into()],
        ParamType::Int => vec![value.as_i64()?.into()],
        ParamType::Float => vec![value.as_f64()?.into()],
        ParamType::Bool => vec![value.as_bool()?.into()],
        ParamType::Strings => {
            value.as_array()?.iter().map(|text| Some(text.as_str()?.into())).collect::<Option<Vec<_>>>()?
        }
        ParamType::Date => vec![NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?.into()],
        ParamType::Datetime => {
            vec![DateTime::parse_from_rfc3339(value.as_str()?).ok()?.with_timezone(&Utc).into()]
        }
    })
}

/// Writes placeholders that go on counting.
struct Shifted {
    after: usize,
    sql: String,
    values: Vec<Bound>,
}

impl std::fmt::Write for Shifted {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.sql.push_str(text);
        Ok(())
    }
}

impl std::fmt::Display for Shifted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql)
    }
}

impl sea_orm::sea_query::SqlWriter for Shifted {
    fn push_param<T: QueryBuilder>(&mut self, value: Bound, _: &T) {
        self.values.push(value);
        self.sql.push_str(&format!("${}", self.after + self.values.len()));
    }

    fn as_writer(&mut self) -> &mut dyn std::fmt::Write {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(name: &str, kind: ParamType) -> ParamSpec {
        ParamSpec { name: name.into(), kind, description: String::new(), default: None, max_items: None }
    }

    #[test]
    fn only_names_outside_of_quotes_and_comments_are_parameters() {
        let params = [spec("a", ParamType::String), spec("b", ParamType::Strings)];
        let text = "SELECT ':a', \":b\", x::text /* :c */ -- :d\n FROM t WHERE x = :a AND y IN (:b);";
        let raw = Raw::parse(text, &params).unwrap();
        let given = json!({"a": "it's \\ :b; DROP", "b": ["1", "2"]});
        let literal = raw.literal(given.as_object().unwrap()).unwrap();
        let expected = "WITH \"source\" AS (SELECT ':a', \":b\", x::text /* :c */ -- :d\n FROM t WHERE x = \
                        E'it\\'s \\\\ :b; DROP' AND y IN ('1', '2')\n) ";
        assert_eq!(literal, expected);
        assert!(raw.literal(&Map::new()).is_err());
    }

    #[test]
    fn what_is_no_single_select_is_refused() {
        let one = [spec("a", ParamType::Int)];
        for (text, error) in [
            ("DELETE FROM t WHERE a = :a", RawError::NoSelect),
            ("SELECT :a; DROP TABLE t", RawError::NoSelect),
            ("SELECT ':a", RawError::Open),
            ("SELECT :a /* ", RawError::Open),
            ("SELECT :b", RawError::Undeclared("b".into())),
            ("SELECT a", RawError::Unused("a".into())),
            ("", RawError::NoSelect),
        ] {
            assert_eq!(Raw::parse(text, &one), Err(error), "{text}");
        }
    }
}
