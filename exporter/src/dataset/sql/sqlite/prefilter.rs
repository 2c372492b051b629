//! Builds an SQL condition that leaves out most rows that can't pass a filter, so that SQLite can use an index.
//!
//! The condition is true for every row that passes the filter, and for few other rows. [`super::row_test`] then tests
//! each of these rows. If a column may store its values in another form, such as numbers as texts, the condition is
//! also true for rows with values in this form.

use chrono::NaiveDate;
use protocol::{
    catalog::{Column, ColumnType},
    filter::{Compare, Filter, LikePart, Literal, like_parts},
};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func};

use super::{
    super::{super::balanced, expressions::col},
    moments, numbers, quoted,
    schema::{Affinities, Affinity},
};

/// Builds the SQL conditions on the columns of one source.
pub(super) struct Prefilter<'a> {
    pub(super) columns: &'a [Column],
    pub(super) affinities: &'a Affinities,
}

/// A range of values from `low` to `high`, both inclusive. If one of them is None, the range has no limit at that end.
struct Range<'a> {
    low: Option<&'a Literal>,
    high: Option<&'a Literal>,
}

impl Prefilter<'_> {
    /// Returns an SQL condition that is true for every row that passes the filter. Returns None if the condition would
    /// be true for all rows.
    pub(super) fn condition(&self, filter: &Filter) -> Option<Expr> {
        match filter {
            Filter::And(parts) => balanced(parts.iter().filter_map(|part| self.condition(part)).collect(), Expr::and),
            Filter::Or(parts) => {
                let all: Option<Vec<_>> = parts.iter().map(|part| self.condition(part)).collect();
                balanced(all?, Expr::or)
            }
            // a condition that is true for more rows than the inner filter can't be negated
            Filter::Not(_) => None,
            Filter::Compare(name, compare, literal) => {
                let (low, high) = match compare {
                    Compare::Eq => return self.one_of(self.kind(name)?, name, std::slice::from_ref(literal)),
                    Compare::Ne => return None,
                    Compare::Lt | Compare::Lte => (None, Some(literal)),
                    Compare::Gt | Compare::Gte => (Some(literal), None),
                };
                self.range(self.kind(name)?, name, &Range { low, high })
            }
            Filter::Between(name, low, high) => {
                self.range(self.kind(name)?, name, &Range { low: Some(low), high: Some(high) })
            }
            Filter::In(name, literals) => self.one_of(self.kind(name)?, name, literals),
            Filter::IsNull(name, true) => Some(col(name).is_null()),
            Filter::IsNull(name, false) => Some(col(name).is_not_null()),
            Filter::Like(name, pattern) => {
                let texts = like_parts(pattern).into_iter().filter_map(|part| match part {
                    LikePart::Text(text) => Some(text),
                    LikePart::One | LikePart::Any => None,
                });
                texts.max_by_key(String::len).map(|text| contains(name, &text))
            }
            Filter::Contains(name, text) => Some(contains(name, text)),
        }
    }

    fn kind(&self, name: &str) -> Option<ColumnType> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.kind)
    }

    /// Returns an SQL condition that is true for every row whose column equals one of the literals. Returns None if no
    /// condition can leave out rows for this type or these literals.
    fn one_of(&self, kind: ColumnType, name: &str, literals: &[Literal]) -> Option<Expr> {
        match kind {
            ColumnType::String => {
                let candidates: Vec<_> = literals.iter().flat_map(text_candidates).collect();
                // the first comparison can use an index of any collation, and the second compares bytes
                let bytes = Expr::cust(format!("{} COLLATE BINARY", quoted(name)));
                Some(col(name).is_in(candidates.clone()).and(bytes.is_in(candidates)))
            }
            ColumnType::Int => {
                let numbers: Vec<_> = literals.iter().filter_map(|literal| number(literal, 0)).collect();
                self.numbers(name, col(name).is_in(numbers), false)
            }
            ColumnType::Float | ColumnType::Decimal | ColumnType::Datetime | ColumnType::Date => match literals {
                [one] => self.range(kind, name, &Range { low: Some(one), high: Some(one) }),
                _ => None,
            },
            ColumnType::Bool | ColumnType::Time => None,
        }
    }

    /// Returns an SQL condition that is true for every row whose column lies in the range. Returns None if no condition
    /// can leave out rows for this type or this range.
    fn range(&self, kind: ColumnType, name: &str, range: &Range<'_>) -> Option<Expr> {
        match kind {
            ColumnType::String => {
                let bytes = || Expr::cust(format!("+{} COLLATE BINARY", quoted(name)));
                let text = |literal: &Literal| match literal {
                    Literal::String(text) => Some(Expr::val(text.as_str())),
                    _ => None,
                };
                let within = ends(
                    range.low.and_then(text).map(|low| bytes().gte(low)),
                    range.high.and_then(text).map(|high| bytes().lte(high)),
                )?;
                Some(within.or(type_of(name).ne("text")))
            }
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => {
                let within = ends(
                    range.low.and_then(|low| number(low, -1)).map(|low| col(name).gte(low)),
                    range.high.and_then(|high| number(high, 1)).map(|high| col(name).lte(high)),
                )?;
                // SQLite sorts texts such as `-inf` and `inf` after all numbers
                let is_infinite = |end: Option<&Literal>| end.is_some_and(|end| !is_finite(end));
                let is_open = range.low.is_none() || is_infinite(range.low) || is_infinite(range.high);
                let has_special_texts = kind != ColumnType::Int && is_open;
                self.numbers(name, within, has_special_texts)
            }
            ColumnType::Date | ColumnType::Datetime => {
                let (low, high) = (range.low.and_then(day), range.high.and_then(day));
                let low_text = low.map(|day| moments::shifted_date(day, -1).unwrap_or_else(|| "0000-00-00".to_owned()));
                // an offset shifts a timestamp by less than a day
                let high_text = high.and_then(|day| moments::shifted_date(day, 2));
                let texts =
                    ends(Some(col(name).gte(low_text.unwrap_or_default())), high_text.map(|high| col(name).lt(high)))?;
                // SQLite sorts numbers before all texts
                let seconds = ends(
                    low.map(|day| col(name).gte(seconds(day))),
                    Some(high.map_or_else(|| col(name).lt(""), |day| col(name).lt(seconds(day) + 86_400))),
                )?;
                let seconds = seconds.and(col(name).lt(""));
                let julian = col(name).gte(moments::JULIAN_START).and(col(name).lt(moments::JULIAN_END));
                Some(texts.or(seconds).or(julian))
            }
            ColumnType::Bool | ColumnType::Time => None,
        }
    }

    /// Extends `within`, an SQL condition on the numbers of the column `name`, to numbers that are stored as texts. The
    /// result is also true for every text if the column may store numbers as texts, or if `has_special_texts` is true,
    /// because texts such as `inf` may then pass the filter. Returns None if the column stores all numbers as texts,
    /// because SQLite would then compare texts.
    fn numbers(&self, name: &str, within: Expr, has_special_texts: bool) -> Option<Expr> {
        match self.affinities.get(name) {
            Affinity::Number if !has_special_texts => Some(within),
            Affinity::Number => Some(within.or(col(name).gte(""))),
            // comparisons with a column of texts compare texts
            Affinity::Text => None,
            Affinity::None => Some(within.or(type_of(name).eq("text"))),
        }
    }
}

fn ends(low: Option<Expr>, high: Option<Expr>) -> Option<Expr> {
    match (low, high) {
        (Some(low), Some(high)) => Some(low.and(high)),
        (low, high) => low.or(high),
    }
}

fn type_of(name: &str) -> Expr {
    Expr::cust(format!("typeof({})", quoted(name)))
}

fn contains(name: &str, text: &str) -> Expr {
    let position = Func::cust(Alias::new("instr")).args([col(name), Expr::val(text)]);
    Expr::from(position).gt(0).or(type_of(name).ne("text"))
}

/// Returns the stored values (texts, numbers and BLOBs) that an export writes as the text `literal`. The column has the
/// type `string`. The result is empty if the literal is not a text.
fn text_candidates(literal: &Literal) -> Vec<Expr> {
    let Literal::String(text) = literal else { return Vec::new() };
    let mut candidates = vec![Expr::val(text.as_str())];
    if let Some(number) = numbers::parse_int(text) {
        candidates.push(Expr::val(number));
    }
    let real = match text.as_str() {
        "INF" => Some(f64::INFINITY),
        "-INF" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    };
    if let Some(real) = real.filter(|real| numbers::shortest(*real) == *text) {
        candidates.push(Expr::val(real));
    }
    if let Some(bytes) = text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()) {
        candidates.push(Expr::val(bytes));
    }
    candidates
}

/// Converts a number of a filter to a value for SQLite. A whole number stays exact. A float or decimal becomes a
/// double, which may round a decimal. `widen` makes up for this at the ends of a range: with 1, the result is the next
/// larger double, for the upper end; with -1, the next smaller double, for the lower end. With 0, the double stays.
/// Returns None for NaN, and for a literal that is not a number.
fn number(literal: &Literal, widen: i8) -> Option<Expr> {
    let real = match literal {
        Literal::Int(number) => return Some(Expr::val(*number)),
        Literal::Float(number) => *number,
        Literal::Decimal(text) => text.parse::<f64>().ok()?,
        _ => return None,
    };
    // SQLite has no NaN, and a bound NaN would be NULL
    Some(Expr::val(match widen {
        _ if real.is_nan() => return None,
        1 => real.next_up(),
        -1 => real.next_down(),
        _ => real,
    }))
}

/// Whether a literal is a finite number.
fn is_finite(literal: &Literal) -> bool {
    match literal {
        Literal::Float(number) => number.is_finite(),
        Literal::Decimal(text) => !text.ends_with(|last: char| last.is_ascii_alphabetic()),
        _ => true,
    }
}

/// Returns the day of a date, or the day in UTC of a timestamp; None for any other literal.
fn day(literal: &Literal) -> Option<NaiveDate> {
    match literal {
        Literal::Date(day) => Some(*day),
        Literal::Datetime(time) => Some(time.date_naive()),
        _ => None,
    }
}

/// Returns the beginning of a day in UTC, in seconds since 1970.
fn seconds(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_seconds()
}
