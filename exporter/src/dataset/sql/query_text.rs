//! The text of a query in the catalog, with `:name` for each parameter.
//!
//! The operator wrote the text, and the exporter uses the text unchanged. Parameter values of clients never become part
//! of the text unescaped: they are bound, or written as SQL literals where a statement can't have bound values.

use chrono::{DateTime, NaiveDate, Utc};
use protocol::params::{ParamSpec, ParamType};
use sea_orm::{
    DbBackend, Statement, Value as Bound, Values,
    sea_query::{PostgresQueryBuilder, QueryBuilder, SelectStatement, SqliteQueryBuilder},
};
use serde_json::{Map, Value};

use super::{super::DatasetError, expressions::SOURCE};

/// A parsed query of the catalog: pieces of SQL text, and the parameters between them.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryText {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Param(ParamSpec),
}

/// The reason why a text is not a valid query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryTextError {
    /// The text is not exactly one SELECT, WITH, VALUES or TABLE statement.
    #[error("a query begins with SELECT, WITH, VALUES or TABLE, and has no `;`")]
    NoSelect,
    /// A quoted text or a comment has no end.
    #[error("a quote or comment in the query has no end")]
    Open,
    /// The query names a parameter that is not declared.
    #[error("the query names `:{0}`, which is no declared parameter")]
    Undeclared(String),
    /// The query does not name a declared parameter.
    #[error("the query does not use the parameter `{0}`")]
    Unused(String),
}

impl QueryText {
    /// Parses a query. `:name` outside of quotes and comments is a parameter; `::` is a cast.
    ///
    /// # Errors
    /// When the text is not exactly one select, or its parameters differ from the declared ones.
    pub fn parse(text: &str, params: &[ParamSpec]) -> Result<Self, QueryTextError> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let first = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
        if !["select", "with", "values", "table"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Err(QueryTextError::NoSelect);
        }
        let mut parts = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text[at..];
            if let Some(length) = opaque(rest)? {
                at += length;
            } else if rest.starts_with(';') {
                return Err(QueryTextError::NoSelect);
            } else if rest.starts_with("::") {
                at += 2;
            } else if let Some(name) = placeholder(rest) {
                let spec = params.iter().find(|spec| spec.name == name);
                let spec = spec.ok_or_else(|| QueryTextError::Undeclared(name.to_owned()))?;
                parts.push(Part::Text(text[from..at].to_owned()));
                parts.push(Part::Param(spec.clone()));
                at += 1 + name.len();
                from = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        parts.push(Part::Text(text[from..].to_owned()));
        let used =
            |spec: &&ParamSpec| parts.iter().any(|part| matches!(part, Part::Param(used) if used.name == spec.name));
        match params.iter().find(|spec| !used(spec)) {
            Some(unused) => Err(QueryTextError::Unused(unused.name.clone())),
            None => Ok(Self { parts }),
        }
    }

    /// Returns a statement in which this query is a common table expression that `select` reads from; all values are
    /// bound.
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
                // the placeholders of the select are numbered after those of the query
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

    /// Returns this query as a common table expression for PostgreSQL, with the parameter values as SQL literals.
    pub(in crate::dataset) fn literal(&self, params: &Map<String, Value>) -> Result<String, DatasetError> {
        self.text(params, |value| PostgresQueryBuilder.value_to_string(&value))
    }

    /// Returns this query as a common table expression with NULL for each parameter. From this text, PostgreSQL can
    /// describe the columns of the query.
    pub(in crate::dataset) fn described(&self) -> String {
        let null = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Param(_) => "NULL".to_owned(),
        };
        format!("WITH \"{SOURCE}\" AS ({}\n) ", self.parts.iter().map(null).collect::<String>())
    }

    /// Returns this query as a common table expression with the placeholders `$1`, `$2` and so on for the parameters.
    /// PostgreSQL can plan this text without the parameter values.
    pub(in crate::dataset) fn numbered(&self) -> String {
        let mut place = 0;
        let number = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Param(_) => {
                place += 1;
                format!("${place}")
            }
        };
        format!("WITH \"{SOURCE}\" AS ({}\n) ", self.parts.iter().map(number).collect::<String>())
    }

    /// Returns the number of placeholders in [`Self::numbered`].
    pub(in crate::dataset) fn places(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Param(_))).count()
    }

    /// Returns this query as `WITH source AS (…)`. `write` returns the SQL for each parameter value: a placeholder or a
    /// literal.
    fn text(
        &self,
        params: &Map<String, Value>,
        mut write: impl FnMut(Bound) -> String,
    ) -> Result<String, DatasetError> {
        let mut out = format!("WITH \"{SOURCE}\" AS (");
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Param(spec) => {
                    let values = bound(spec, params).ok_or_else(|| DatasetError::Param(spec.name.clone()))?;
                    let written: Vec<_> = values.into_iter().map(&mut write).collect();
                    out.push_str(&written.join(", "));
                }
            }
        }
        // the line feed ends a comment at the end of the query
        out.push_str("\n) ");
        Ok(out)
    }
}

/// Returns the length, in bytes, of the quoted text, quoted name or comment at the beginning of `rest`, in which a
/// `:name` is no parameter; None if `rest` begins with other text.
fn opaque(rest: &str) -> Result<Option<usize>, QueryTextError> {
    let closed = |open: usize, close: &str| {
        rest[open..].find(close).map(|at| Some(open + at + close.len())).ok_or(QueryTextError::Open)
    };
    if rest.starts_with('\'') {
        // a doubled quote ends one text and begins the next
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

/// Returns the name of the parameter at the beginning of `rest`, without its colon; None if `rest` begins with other
/// text.
fn placeholder(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix(':')?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (end > 0 && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| &name[..end])
}

/// Returns the values to bind for a parameter: several for a list. None if the value is missing or has another type
/// than the declared one.
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

/// A writer of SQL whose placeholders are numbered from `after + 1`.
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
        let query = QueryText::parse(text, &params).unwrap();
        let given = json!({"a": "it's \\ :b; DROP", "b": ["1", "2"]});
        let literal = query.literal(given.as_object().unwrap()).unwrap();
        let expected = "WITH \"source\" AS (SELECT ':a', \":b\", x::text /* :c */ -- :d\n FROM t WHERE x = \
                        E'it\\'s \\\\ :b; DROP' AND y IN ('1', '2')\n) ";
        assert_eq!(literal, expected);
        assert!(query.literal(&Map::new()).is_err());
    }

    #[test]
    fn a_text_that_is_not_one_select_is_refused() {
        let one = [spec("a", ParamType::Int)];
        for (text, error) in [
            ("DELETE FROM t WHERE a = :a", QueryTextError::NoSelect),
            ("SELECT :a; DROP TABLE t", QueryTextError::NoSelect),
            ("SELECT ':a", QueryTextError::Open),
            ("SELECT :a /* ", QueryTextError::Open),
            ("SELECT :b", QueryTextError::Undeclared("b".into())),
            ("SELECT a", QueryTextError::Unused("a".into())),
            ("", QueryTextError::NoSelect),
        ] {
            assert_eq!(QueryText::parse(text, &one), Err(error), "{text}");
        }
    }
}
