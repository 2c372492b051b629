//! Parses a query in the catalog file, in which `:name` stands for a parameter.
//!
//! The operator writes the query. The exporter refuses a query that the server may interpret in another way than the
//! exporter. Clients give the values of parameters. A value is bound or, in statements that can't have bound values,
//! becomes an escaped SQL literal.

mod error;
mod parts;
mod shapes;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

use protocol::params::ParamSpec;
use sea_orm::{
    DbBackend, Statement, Value as Bound, Values,
    sea_query::{PostgresQueryBuilder, QueryBuilder, SelectStatement, SqliteQueryBuilder},
};
use serde_json::{Map, Value};

pub use self::error::{QueryFault, QueryTextError};
pub(crate) use self::tokens::SqlDialect;
use self::values::Typing;
use super::super::DatasetError;

/// A parsed query of the catalog file: pieces of SQL text with the parameters between them.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryText {
    parts: Vec<Part>,
    /// The name of the common table expression that holds the query. The name does not occur in the text of the query.
    name: String,
    dialect: SqlDialect,
    typing: Typing,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Param(ParamSpec),
}

impl QueryText {
    /// Parses a query for PostgreSQL. A `:name` outside of quotes and comments is a parameter, and `::` is a cast.
    ///
    /// # Errors
    /// When the text is not exactly one `SELECT`, `WITH`, `VALUES` or `TABLE` statement, its parameters differ from the
    /// declared parameters, or the server may read the text in another way than the exporter.
    pub fn parse(text: &str, params: &[ParamSpec]) -> Result<Self, QueryTextError> {
        Self::parse_for(SqlDialect::Postgres, text, params)
    }

    /// Parses a query that is written in the SQL of `dialect`. `params` are the declared parameters.
    ///
    /// # Errors
    /// The same as for [`Self::parse`].
    pub(crate) fn parse_for(dialect: SqlDialect, text: &str, params: &[ParamSpec]) -> Result<Self, QueryTextError> {
        let parts = parts::parts(text, params, dialect)?;
        let used =
            |spec: &&ParamSpec| parts.iter().any(|part| matches!(part, Part::Param(used) if used.name == spec.name));
        match params.iter().find(|spec| !used(spec)) {
            Some(unused) => Err(QueryTextError::Unused(unused.name.clone())),
            None => Ok(Self { parts, name: free_name(text), dialect, typing: Typing::default() }),
        }
    }

    /// Returns this query for PostgreSQL, with its text and number parameters as constants without their declared
    /// types. PostgreSQL then infers the type of a text from the context, such as `uuid` in a comparison with a `uuid`
    /// column. Returns None for SQLite, for a query without such parameters, and if this query already has constants.
    pub(in crate::dataset) fn with_constants(&self) -> Option<Self> {
        let depends = |part: &Part| matches!(part, Part::Param(spec) if values::depends_on_typing(spec.kind));
        let differs = self.dialect == SqlDialect::Postgres && self.typing == Typing::Declared;
        (differs && self.parts.iter().any(depends)).then(|| Self { typing: Typing::Constant, ..self.clone() })
    }

    /// Returns the name of the common table expression that holds this query.
    pub(in crate::dataset) fn name(&self) -> &str {
        &self.name
    }

    /// Returns a statement in which this query is a common table expression, and `select` reads from this expression.
    /// The values in `params` are bound.
    pub(super) fn before(
        &self,
        select: &SelectStatement,
        params: &Map<String, Value>,
        backend: DbBackend,
    ) -> Result<Statement, DatasetError> {
        let mut bound = Vec::new();
        let mut text = self.text(params, |value| {
            bound.push(value.clone());
            Some(match backend {
                DbBackend::Postgres => format!("${}", bound.len()),
                _ => "?".to_owned(),
            })
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
        self.text(params, values::literal)
    }

    /// Returns this query as a common table expression with NULL for each parameter. From this text, a database can
    /// describe the columns of the query.
    pub(in crate::dataset) fn described(&self) -> String {
        self.unvalued(|| "NULL".to_owned())
    }

    /// Returns this query as a common table expression with the placeholders `$1`, `$2` and so on for the parameters.
    /// PostgreSQL can plan this text without the parameter values.
    pub(in crate::dataset) fn numbered(&self) -> String {
        let mut place = 0;
        self.unvalued(|| {
            place += 1;
            format!("${place}")
        })
    }

    /// Returns the number of placeholders in [`Self::numbered`].
    pub(in crate::dataset) fn places(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Param(_))).count()
    }

    /// Returns this query as `WITH name AS (...)`. This method calls `write` for each parameter, and `write` returns an
    /// SQL expression, such as NULL.
    fn unvalued(&self, mut write: impl FnMut() -> String) -> String {
        let mut out = self.opening();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Param(spec) => out.push_str(&self.typing.cast(spec.kind, None, &write())),
            }
        }
        out.push_str(CLOSING);
        out
    }

    /// Returns this query as `WITH name AS (...)`. This method calls `write` for each parameter value, and `write`
    /// returns a placeholder or literal. If `write` returns None, this method returns [`DatasetError::Param`].
    fn text(
        &self,
        params: &Map<String, Value>,
        mut write: impl FnMut(&Bound) -> Option<String>,
    ) -> Result<String, DatasetError> {
        let mut out = self.opening();
        for part in &self.parts {
            let spec = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Param(spec) => spec,
            };
            let written = values::values(spec, params).and_then(|values| {
                let one = |value: &Bound| {
                    let written = write(value)?;
                    Some(match self.dialect {
                        SqlDialect::Postgres => self.typing.cast(spec.kind, Some(value), &written),
                        SqlDialect::Sqlite => written,
                    })
                };
                values.iter().map(one).collect::<Option<Vec<_>>>()
            });
            out.push_str(&written.ok_or_else(|| DatasetError::Param(spec.name.clone()))?.join(", "));
        }
        out.push_str(CLOSING);
        Ok(out)
    }

    fn opening(&self) -> String {
        format!("WITH \"{}\" AS (", self.name)
    }
}

/// The text after the query in `WITH name AS (...)`. The line feed ends a comment that may be at the end of the query.
const CLOSING: &str = "\n) ";

/// Returns a name for the common table expression that does not occur in the text of the query. If the query read a
/// table of this name, SQLite would take the table for the common table expression.
fn free_name(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let mut name = "sluice_query".to_owned();
    while text.contains(&name) {
        name.push('_');
    }
    name
}

/// An SQL writer for sea-query that numbers placeholders from `after + 1`. The text before it already has `after`
/// placeholders.
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
