//! Translates a filter into an SQL condition. The values of the filter are bound parameters or escaped literals.
//!
//! Texts are compared byte by byte, as in polars. On PostgreSQL, texts are therefore compared under the collation `C`.
//! SQLite datasets use [`sqlite`](super::sqlite) instead, which evaluates filters on the values of each row.

use chrono::Timelike;
use protocol::{
    catalog::{Column, ColumnType},
    filter::{Compare, Filter, LikePart, Literal, like_parts},
};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait, Func, LikeExpr},
};

use super::{
    super::{DatasetError, balanced},
    expressions::{col, find, searchable, sortable},
    native::{self, Native, Natives},
    spelling,
};
use crate::value::float32::NearestFloat;

/// Translates filters on `columns` into the SQL of a database. `natives` has the known native types of the columns.
pub(super) struct Predicate<'a> {
    pub(super) columns: &'a [Column],
    pub(super) backend: DbBackend,
    pub(super) natives: &'a Natives,
}

impl Predicate<'_> {
    /// Returns the SQL condition that is true for exactly the rows that pass the filter.
    pub(super) fn expr(&self, filter: &Filter) -> Result<Expr, DatasetError> {
        let known = |name: &str| find(self.columns, name);
        let backend = self.backend;
        Ok(match filter {
            Filter::And(parts) => self.fold(parts, Expr::and, true)?,
            Filter::Or(parts) => self.fold(parts, Expr::or, false)?,
            Filter::Not(inner) => self.expr(inner)?.not(),
            Filter::Compare(name, compare, literal) => self.comparison(&known(name)?, *compare, literal),
            Filter::Between(name, low, high) => {
                let column = known(name)?;
                self.comparison(&column, Compare::Gte, low).and(self.comparison(&column, Compare::Lte, high))
            }
            Filter::In(name, values) => {
                let column = known(name)?;
                match self.plain(&column, values) {
                    Some(plain) => col(&column.name).is_in(plain),
                    None if self.is_real(&column) => self.one_of_reals(&column, values),
                    None => self.one_of(&column, values),
                }
            }
            Filter::IsNull(name, true) => self.is_null(&known(name)?),
            Filter::IsNull(name, false) => self.is_null(&known(name)?).not(),
            Filter::Like(name, pattern) => like(&known(name)?, &like_parts(pattern), backend, self.natives.of(name)),
            Filter::Contains(name, text) => {
                let args = [searchable(&known(name)?, backend, self.natives.of(name)), Expr::val(text.as_str())];
                Expr::from(Func::cust(Alias::new("strpos")).args(args)).gt(0)
            }
        })
    }

    fn fold(&self, parts: &[Filter], join: fn(Expr, Expr) -> Expr, none: bool) -> Result<Expr, DatasetError> {
        let all = parts.iter().map(|part| self.expr(part)).collect::<Result<_, _>>()?;
        Ok(balanced(all, join).unwrap_or_else(|| Expr::val(1).eq(i32::from(none))))
    }

    fn comparison(&self, column: &Column, compare: Compare, literal: &Literal) -> Expr {
        if let Some(number) = float(literal).filter(|_| self.is_real(column)) {
            return compared_with_real(col(&column.name), compare, number);
        }
        if let Some(floor) = floored(literal) {
            return compared_with_gap(col(&column.name), compare, &floor);
        }
        let (left, right) = (self.comparable(column), value(literal));
        match compare {
            Compare::Eq => match self.plain(column, std::slice::from_ref(literal)).and_then(|mut one| one.pop()) {
                Some(plain) => col(&column.name).eq(plain),
                None => left.eq(right),
            },
            Compare::Ne => left.ne(right),
            Compare::Lt => left.lt(right),
            Compare::Lte => left.lte(right),
            Compare::Gt => left.gt(right),
            Compare::Gte => left.gte(right),
        }
    }

    /// Converts the literals of a filter to SQL values that `=` can compare with the column, without a cast of the
    /// column. Such a comparison can use an index. Returns None if the native type of the column is not known to be
    /// text or uuid, or if no literal can equal a value of the column. The caller then compares the texts byte by byte,
    /// without an index.
    fn plain(&self, column: &Column, values: &[Literal]) -> Option<Vec<Expr>> {
        if column.kind != ColumnType::String {
            return None;
        }
        let texts = values.iter().filter_map(|literal| match literal {
            Literal::String(text) => Some(text.as_str()),
            _ => None,
        });
        native::plain(self.natives.of(&column.name), texts)
    }

    /// Returns the SQL condition that is true only for NULL. `IS NULL` would also be true for a composite value whose
    /// members are all NULL.
    fn is_null(&self, column: &Column) -> Expr {
        match self.backend {
            // the planner turns this expression into a test for NULL, for which it can use an index
            DbBackend::Postgres => Expr::cust_with_expr("$1 IS NOT DISTINCT FROM NULL", col(&column.name)),
            _ => col(&column.name).is_null(),
        }
    }

    fn one_of(&self, column: &Column, values: &[Literal]) -> Expr {
        let exact: Vec<_> = values.iter().filter(|literal| floored(literal).is_none()).map(value).collect();
        if exact.is_empty() && !values.is_empty() {
            return none_of(col(&column.name));
        }
        self.comparable(column).is_in(exact)
    }

    /// Whether the column is known to have the native type `real`, which holds 32-bit floats.
    fn is_real(&self, column: &Column) -> bool {
        column.kind == ColumnType::Float && self.natives.of(&column.name) == Some(Native::Real)
    }

    fn one_of_reals(&self, column: &Column, values: &[Literal]) -> Expr {
        let fitted = values.iter().filter_map(float).map(NearestFloat::of);
        let exact: Vec<_> = fitted.filter(|fitted| fitted.exact).map(|fitted| real(fitted.floor)).collect();
        if exact.is_empty() { none_of(col(&column.name)) } else { col(&column.name).is_in(exact) }
    }

    /// Returns the SQL expression of the column that can be compared with literals. For a text column on PostgreSQL,
    /// this is its text under the collation `C`. For any other column, it is the column itself.
    fn comparable(&self, column: &Column) -> Expr {
        sortable(column, self.backend, self.natives.of(&column.name))
    }
}

/// Returns the SQL condition that compares a `real` column with a number. Both sides of the comparison are `real`, so
/// that the server can use an index. If the number lies between two `real` values, no value equals it. Operators such
/// as `<` then compare the column with the lower of the two values.
fn compared_with_real(column: Expr, compare: Compare, number: f64) -> Expr {
    let NearestFloat { floor, exact } = NearestFloat::of(number);
    let right = real(floor);
    match compare {
        Compare::Eq if exact => column.eq(right),
        Compare::Ne if exact => column.ne(right),
        Compare::Lt if exact => column.lt(right),
        Compare::Gte if exact => column.gte(right),
        Compare::Lt | Compare::Lte => column.lte(right),
        Compare::Gt | Compare::Gte => column.gt(right),
        // no value of the column has the text of this literal
        Compare::Eq => none_of(column),
        Compare::Ne => column.clone().eq(column),
    }
}

/// Returns an SQL condition that is false for every value of a column, and NULL for NULL.
fn none_of(column: Expr) -> Expr {
    column.clone().ne(column)
}

/// Returns the SQL condition that compares a column with a timestamp or time of day that lies between `floor` and the
/// next microsecond. PostgreSQL stores whole microseconds, and would round such a literal.
fn compared_with_gap(column: Expr, compare: Compare, floor: &Literal) -> Expr {
    match compare {
        Compare::Eq => none_of(column),
        Compare::Ne => column.clone().eq(column),
        Compare::Lt | Compare::Lte => column.lte(value(floor)),
        Compare::Gt | Compare::Gte => column.gt(value(floor)),
    }
}

/// Rounds a timestamp or time of day down to the whole microsecond. Returns None if the literal has no fraction of a
/// microsecond, or is of another type.
fn floored(literal: &Literal) -> Option<Literal> {
    let cut = |nanos: u32| (!nanos.is_multiple_of(1_000)).then(|| nanos - nanos % 1_000);
    match literal {
        Literal::Datetime(time) => time.with_nanosecond(cut(time.nanosecond())?).map(Literal::Datetime),
        Literal::Time(time) => time.with_nanosecond(cut(time.nanosecond())?).map(Literal::Time),
        _ => None,
    }
}

fn real(value: f32) -> Expr {
    // the server parses the text exactly, `inf` and `NaN` included
    Expr::val(format!("{value:e}")).cast_as("real")
}

const fn float(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Float(number) => Some(*number),
        _ => None,
    }
}

fn value(literal: &Literal) -> Expr {
    match literal {
        Literal::String(text) => Expr::val(text.as_str()),
        Literal::Int(number) => Expr::val(*number),
        // SQL has no number literal for infinities and NaN
        Literal::Float(number) if !number.is_finite() => Expr::val(number.to_string()).cast_as("float8"),
        Literal::Float(number) => Expr::val(*number),
        Literal::Decimal(text) => Expr::val(text.as_str()).cast_as("numeric"),
        Literal::Bool(is) => Expr::val(*is),
        Literal::Time(time) => Expr::val(*time),
        // PostgreSQL gives the text literal the type of the column; this spelling can express every year
        Literal::EndOfDay => Expr::cust("'24:00:00'"),
        Literal::Infinity { is_negative: false } => Expr::cust("'infinity'"),
        Literal::Infinity { is_negative: true } => Expr::cust("'-infinity'"),
        Literal::Date(date) => Expr::cust(format!("'{}'", spelling::date(*date))),
        Literal::Datetime(time) => Expr::cust(format!("'{}'", spelling::datetime(time))),
    }
}

fn like(column: &Column, parts: &[LikePart], backend: DbBackend, native: Option<Native>) -> Expr {
    searchable(column, backend, native).like(LikeExpr::new(pattern(parts)).escape('\\'))
}

fn pattern(parts: &[LikePart]) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            LikePart::Any => out.push('%'),
            LikePart::One => out.push('_'),
            LikePart::Text(text) => text.chars().for_each(|c| {
                if "%_\\".contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }),
        }
    }
    out
}
