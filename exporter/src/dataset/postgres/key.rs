//! Splits sources without disk pages (views, queries and partitioned tables) into ranges of a key column.
//!
//! The ranges contain each row exactly once, for any distribution of the key: the first range has no lower bound, the
//! last range has no upper bound, and rows whose key is NULL belong to the last range.

use chrono::{DateTime, Days, NaiveDate};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait, PostgresQueryBuilder},
    sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr},
};

use super::{
    super::{DatasetError, Query, sql},
    PostgresRows,
    describe::oid,
    server::{PostgresServer, failed},
};

/// The size of one range, as the number of rows that the planner expects in it.
const ROWS: u64 = 100_000;
/// The maximum number of ranges into which a query is split.
const MAX_RANGES: u64 = 256;
/// The first day of the year 1 and the last day of the year 9999, in days since 1970-01-01. Bounds of ranges stay
/// between these days, because the SQL literal of a bound has a year of four digits.
const DAYS: (i128, i128) = (-719_162, 2_932_896);
const MICROS_PER_DAY: i128 = 86_400_000_000;

/// A column whose values split the rows of a source into ranges, which several connections can read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Uuid,
    Date,
    Timestamp,
    Timestamptz,
}

impl Key {
    /// Looks up the column `name` of a source for use as a key. If the column can't be a key, the inner result is the
    /// reason, as a text for the operator.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or refuses the source.
    pub(crate) async fn find(
        server: &PostgresServer,
        source: &sql::Source,
        name: &str,
    ) -> Result<Result<Self, String>, DatasetError> {
        let found = PostgresRows::described(server, source).await?;
        let Some(column) = found.iter().find(|column| column.name == name) else {
            return Ok(Err(format!("`split_by` names `{name}`, which is none of its columns: correct the name")));
        };
        let kind = match column.oid {
            oid::INT2 | oid::INT4 | oid::INT8 => Kind::Int,
            oid::UUID => Kind::Uuid,
            oid::DATE => Kind::Date,
            oid::TIMESTAMP => Kind::Timestamp,
            oid::TIMESTAMPTZ => Kind::Timestamptz,
            _ => {
                return Ok(Err(format!(
                    "`split_by` names `{name}`, which is of the type {}: whole numbers, uuids, dates and timestamps have \
                     ranges, so name such a column, or leave `split_by` out",
                    column.type_name
                )));
            }
        };
        Ok(Ok(Self { name: name.to_owned(), kind }))
    }

    /// Returns the SQL condition of each range of the key, in the order of the key. Returns an empty list if one range
    /// is enough for the `expected` number of rows, or if the key has too few different values.
    pub(super) async fn ranges(
        &self,
        server: &PostgresServer,
        conn: &mut PgConnection,
        rows: &PostgresRows,
        query: &Query,
        expected: u64,
    ) -> Result<Vec<Option<Expr>>, DatasetError> {
        let count = Ord::min(expected.div_ceil(ROWS), MAX_RANGES);
        if count < 2 {
            return Ok(Vec::new());
        }
        let mut ends = [0; 2];
        for (end, order) in ends.iter_mut().zip(["ASC", "DESC"]) {
            let statement = AssertSqlSafe(self.end(rows, query, order)?).into_sql_str();
            let Some(row) = server.within(conn.fetch_optional(statement)).await? else { return Ok(Vec::new()) };
            let text = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
            *end = self.position(&text).ok_or(DatasetError::Garbled("a key is not of its type"))?;
        }
        let bounds = bounds(ends[0], ends[1], count);
        Ok(self.conditions(&bounds))
    }

    /// Returns the quoted name of the key column, qualified by the alias of the source.
    fn column(&self) -> String {
        format!("\"{}\".\"{}\"", sql::SOURCE, self.name.replace('"', "\"\""))
    }

    /// Returns the SQL statement that selects the smallest or largest finite value of the key in all rows of the
    /// source. `order` is `ASC` for the smallest, and `DESC` for the largest. The statement selects the value as a text
    /// for [`Self::position`]. `query` has the values of the source's parameters.
    fn end(&self, rows: &PostgresRows, query: &Query, order: &str) -> Result<String, DatasetError> {
        let column = self.column();
        let (shown, finite) = match self.kind {
            Kind::Int | Kind::Uuid => (format!("{column}::text"), format!("{column} IS NOT NULL")),
            Kind::Date => (format!("({column} - DATE '1970-01-01')::text"), format!("isfinite({column})")),
            Kind::Timestamp | Kind::Timestamptz => {
                (format!("(extract(epoch FROM {column}) * 1000000)::bigint::text"), format!("isfinite({column})"))
            }
        };
        let all = Query { filter: protocol::filter::Filter::all(), ..query.clone() };
        let mut select = sql::filtered(&rows.source, &rows.info.columns, &all, DbBackend::Postgres)?;
        let body = select.expr(Expr::cust(shown)).and_where(Expr::cust(finite)).to_string(PostgresQueryBuilder);
        Ok(format!("{}{body} ORDER BY {column} {order} LIMIT 1", rows.before(query)?))
    }

    /// Converts the text of a key value to a position on a number line. The position of a number is the number itself.
    /// The position of a UUID is its upper 127 bits. The position of a date or timestamp is its distance from
    /// 1970-01-01, in days or microseconds. Returns None if the text is invalid.
    fn position(&self, text: &str) -> Option<i128> {
        Some(match self.kind {
            Kind::Int => text.parse().ok()?,
            // without its lowest bit, the unsigned number fits a signed one; ranges need no more precision
            Kind::Uuid => (u128::from_str_radix(&text.replace('-', ""), 16).ok()? >> 1).cast_signed(),
            Kind::Date => text.parse::<i128>().ok()?.clamp(DAYS.0, DAYS.1),
            Kind::Timestamp | Kind::Timestamptz => {
                text.parse::<i128>().ok()?.clamp(DAYS.0 * MICROS_PER_DAY, DAYS.1 * MICROS_PER_DAY)
            }
        })
    }

    /// Converts a position on the number line to the SQL literal of a key value. Returns None if the type of the key
    /// has no value at this position.
    fn literal(&self, position: i128) -> Option<Expr> {
        Some(match self.kind {
            Kind::Int => Expr::val(i64::try_from(position).ok()?),
            Kind::Uuid => {
                let digits = format!("{:032x}", position.cast_unsigned() << 1);
                Expr::val(digits).cast_as(Alias::new("uuid"))
            }
            Kind::Date => {
                let days = Days::new(u64::try_from(position - DAYS.0).ok()?);
                let date = NaiveDate::from_ymd_opt(1, 1, 1)?.checked_add_days(days)?;
                Expr::val(date.to_string()).cast_as(Alias::new("date"))
            }
            Kind::Timestamp | Kind::Timestamptz => {
                let at = DateTime::from_timestamp_micros(i64::try_from(position).ok()?)?;
                let zoned = self.kind == Kind::Timestamptz;
                let text = at.format(if zoned { "%Y-%m-%d %H:%M:%S%.6f+00" } else { "%Y-%m-%d %H:%M:%S%.6f" });
                Expr::val(text.to_string()).cast_as(Alias::new(if zoned { "timestamptz" } else { "timestamp" }))
            }
        })
    }

    fn conditions(&self, bounds: &[i128]) -> Vec<Option<Expr>> {
        let column = || Expr::cust(self.column());
        let ends: Vec<Expr> = bounds.iter().filter_map(|bound| self.literal(*bound)).collect();
        let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return Vec::new() };
        let mut ranges = vec![Some(column().lt(first.clone()))];
        for pair in ends.windows(2) {
            ranges.push(Some(column().gte(pair[0].clone()).and(column().lt(pair[1].clone()))));
        }
        ranges.push(Some(column().gte(last.clone()).or(column().is_null())));
        ranges
    }
}

/// Returns the bounds that split the positions from `low` to `high` into `count` parts of equal size. If there are
/// fewer positions than `count`, returns fewer bounds.
fn bounds(low: i128, high: i128, count: u64) -> Vec<i128> {
    let parts = i128::from(count);
    let width = high.saturating_sub(low);
    // in two steps, because the width of uuids times the count overflows
    let mut bounds: Vec<_> = (1..parts).map(|n| low + width / parts * n + width % parts * n / parts).collect();
    bounds.dedup();
    bounds.retain(|bound| *bound > low && *bound <= high);
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_even_and_their_bounds_are_values_of_the_type() {
        assert_eq!(bounds(0, 100, 4), [25, 50, 75]);
        assert_eq!((bounds(5, 5, 4), bounds(1, 3, 2)), (vec![], vec![2]));
        assert_eq!(bounds(i128::from(i64::MIN), i128::from(i64::MAX), 2), [-1]);
        let key = |kind| Key { name: "a\"b".into(), kind };
        let written = |kind, position| {
            let literal = key(kind).literal(position).unwrap();
            sea_orm::sea_query::Query::select().expr(literal).to_string(PostgresQueryBuilder)
        };
        for (kind, value, expected) in [
            (Kind::Int, "-7", "SELECT -7"),
            (
                Kind::Uuid,
                "0199aaaa-0000-7000-8000-000000000002",
                "SELECT CAST('0199aaaa000070008000000000000002' AS uuid)",
            ),
            (
                Kind::Uuid,
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "SELECT CAST('fffffffffffffffffffffffffffffffe' AS uuid)",
            ),
            (Kind::Date, "-1", "SELECT CAST('1969-12-31' AS date)"),
            (Kind::Date, "99999999", "SELECT CAST('9999-12-31' AS date)"),
            (Kind::Timestamp, "-1", "SELECT CAST('1969-12-31 23:59:59.999999' AS timestamp)"),
            (Kind::Timestamptz, "1500000", "SELECT CAST('1970-01-01 00:00:01.500000+00' AS timestamptz)"),
        ] {
            let position = key(kind).position(value).unwrap();
            assert_eq!(written(kind, position), expected);
        }
        assert_eq!(key(Kind::Int).column(), "\"source\".\"a\"\"b\"");
        assert_eq!(key(Kind::Int).conditions(&[]).len(), 0);
        assert_eq!(key(Kind::Int).conditions(&[1, 2]).len(), 3);
    }
}
