//! Translates a filter into a polars expression with the three-valued logic of SQL.
//!
//! A comparison with NULL is NULL, and `and`, `or` and `not` follow Kleene's logic. A row passes only if the filter is
//! true for the row. polars agrees with SQL in these rules.
//!
//! Dates, times and decimals are compared exactly, as numbers in the unit of the column. If a literal of the filter
//! lies between two values of the column's type, the expression compares with the lower value, and with another
//! operator if necessary. For example, `n < 1.5` becomes `n <= 1` for a decimal without fraction digits. Floats of 32
//! bits are compared by their shortest decimal text.

use std::{cmp::Ordering, sync::Arc};

use chrono::{NaiveDate, NaiveTime, Timelike};
use polars::prelude::{
    AnyValue, BooleanChunked, Column, DataType, Expr, Field, IntoColumn, IntoSeries, Scalar, Schema, Series, TimeUnit,
    lit,
};
use protocol::{
    decimal,
    filter::{Compare, Filter, LikePart, Literal, like_parts},
};

use super::super::{DatasetError, balanced};
use crate::{
    format::named_column,
    value::{float32, infinity},
};

/// Returns a polars expression that is true for the rows that pass the filter. For other rows it is false or NULL.
/// `schema` has the types of the columns.
pub(super) fn expr(filter: &Filter, schema: &Schema) -> Result<Expr, DatasetError> {
    Ok(match filter {
        Filter::And(parts) => fold(parts, schema, Expr::and, true)?,
        Filter::Or(parts) => fold(parts, schema, Expr::or, false)?,
        Filter::Not(inner) => expr(inner, schema)?.not(),
        Filter::Compare(name, compare, literal) => comparison(name, *compare, literal, schema)?,
        Filter::Between(name, low, high) => {
            comparison(name, Compare::Gte, low, schema)?.and(comparison(name, Compare::Lte, high, schema)?)
        }
        Filter::In(name, values) => one_of(name, values, schema)?,
        Filter::IsNull(name, true) => known(name, schema).map(|_| named_column(name).is_null())?,
        Filter::IsNull(name, false) => known(name, schema).map(|_| named_column(name).is_not_null())?,
        Filter::Like(name, pattern) => {
            let parts: Arc<[LikePart]> = like_parts(pattern).into();
            text_test(name, schema, move |text| like(text, &parts))?
        }
        Filter::Contains(name, wanted) => {
            let wanted = wanted.clone();
            text_test(name, schema, move |text| text.contains(&wanted))?
        }
    })
}

fn fold(parts: &[Filter], schema: &Schema, join: fn(Expr, Expr) -> Expr, none: bool) -> Result<Expr, DatasetError> {
    let all = parts.iter().map(|part| expr(part, schema)).collect::<Result<_, _>>()?;
    Ok(balanced(all, join).unwrap_or_else(|| lit(none)))
}

fn known<'a>(name: &str, schema: &'a Schema) -> Result<&'a DataType, DatasetError> {
    schema.get(name).ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
}

/// A literal of a filter, converted to the type and unit of a column.
struct Fitted {
    /// The literal itself, if it is a value of the column's type. Otherwise, the greatest value of the type below the
    /// literal; None if all values of the type are above the literal.
    floor: Option<AnyValue<'static>>,
    dtype: DataType,
    /// Whether `floor` equals the literal. False if the literal lies between two values of the column's type, or
    /// outside of the range of the type.
    exact: bool,
}

fn comparison(name: &str, compare: Compare, literal: &Literal, schema: &Schema) -> Result<Expr, DatasetError> {
    if let (Literal::Decimal(wanted), DataType::String) = (literal, known(name, schema)?) {
        let wanted = wanted.clone();
        return text_test(name, schema, move |value| holds(compare, decimal::compare(value, &wanted)));
    }
    let Fitted { floor, dtype, exact } = fit(literal, known(name, schema)?, name)?;
    let column = || named_column(name);
    // `always` is true and `never` is false for every value; both are NULL for NULL
    let (always, never) = (|| column().eq(column()), || column().neq(column()));
    let floor = floor.map(|value| lit(Scalar::new(dtype, value)));
    Ok(match (compare, floor) {
        (Compare::Eq, Some(value)) if exact => column().eq(value),
        (Compare::Ne, Some(value)) if exact => column().neq(value),
        (Compare::Lt, Some(value)) if exact => column().lt(value),
        (Compare::Gte, Some(value)) if exact => column().gt_eq(value),
        (Compare::Lt | Compare::Lte, Some(value)) => column().lt_eq(value),
        (Compare::Gt | Compare::Gte, Some(value)) => column().gt(value),
        (Compare::Ne, _) | (Compare::Gt | Compare::Gte, None) => always(),
        (Compare::Eq, _) | (Compare::Lt | Compare::Lte, None) => never(),
    })
}

fn one_of(name: &str, values: &[Literal], schema: &Schema) -> Result<Expr, DatasetError> {
    let dtype = known(name, schema)?;
    let texts: Option<Vec<String>> = values.iter().map(decimal_text).collect();
    if let (Some(wanted), DataType::String) = (texts.filter(|wanted| !wanted.is_empty()), dtype) {
        let any = move |value: &str| wanted.iter().any(|one| decimal::compare(value, one).is_eq());
        return text_test(name, schema, any);
    }
    let fitted = values.iter().map(|value| fit(value, dtype, name)).collect::<Result<Vec<_>, _>>()?;
    let mut wanted = None;
    let values: Vec<_> = fitted
        .into_iter()
        .filter(|fitted| fitted.exact)
        .filter_map(|fitted| {
            wanted = Some(fitted.dtype);
            fitted.floor
        })
        .collect();
    let Some(wanted) = wanted else { return Ok(named_column(name).neq(named_column(name))) };
    let list = Series::from_any_values_and_dtype("in".into(), &values, &wanted, true)?;
    Ok(named_column(name).cast(wanted).is_in(lit(list).implode(true), false))
}

fn decimal_text(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Decimal(text) => Some(text.clone()),
        _ => None,
    }
}

const fn holds(compare: Compare, order: Ordering) -> bool {
    match compare {
        Compare::Eq => order.is_eq(),
        Compare::Ne => order.is_ne(),
        Compare::Lt => order.is_lt(),
        Compare::Lte => order.is_le(),
        Compare::Gt => order.is_gt(),
        Compare::Gte => order.is_ge(),
    }
}

fn fit(literal: &Literal, dtype: &DataType, name: &str) -> Result<Fitted, DatasetError> {
    let exact = |value, dtype| Fitted { floor: Some(value), dtype, exact: true };
    Ok(match (literal, dtype) {
        (Literal::String(text), DataType::String) => {
            exact(AnyValue::StringOwned(text.as_str().into()), DataType::String)
        }
        (Literal::Int(value), _) if dtype.is_integer() => exact(AnyValue::Int64(*value), DataType::Int64),
        (Literal::Float(value), DataType::Float32) => {
            let float32::NearestFloat { floor, exact } = float32::NearestFloat::of(*value);
            Fitted { floor: Some(AnyValue::Float32(floor)), dtype: DataType::Float32, exact }
        }
        (Literal::Float(value), _) if dtype.is_float() => exact(AnyValue::Float64(*value), DataType::Float64),
        (Literal::Bool(value), DataType::Boolean) => exact(AnyValue::Boolean(*value), DataType::Boolean),
        (Literal::Date(date), DataType::Date) => {
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            exact(AnyValue::Date(days as i32), DataType::Date)
        }
        (Literal::Time(time), DataType::Time) => exact(AnyValue::Time(nanos_of_day(*time)), DataType::Time),
        (Literal::EndOfDay, DataType::Time) => exact(AnyValue::Time(infinity::END_OF_DAY), DataType::Time),
        (Literal::Infinity { is_negative }, DataType::Date) => {
            let days = if *is_negative { -infinity::DATE } else { infinity::DATE };
            exact(AnyValue::Date(days), DataType::Date)
        }
        (Literal::Infinity { is_negative }, DataType::Datetime(unit, zone)) => {
            let value = if *is_negative { -infinity::TIMESTAMP } else { infinity::TIMESTAMP };
            // this number stands for infinity only in microseconds; in other units, it is an ordinary timestamp
            let exact = *unit == TimeUnit::Microseconds;
            let floor = AnyValue::DatetimeOwned(value, *unit, zone.clone().map(Arc::new));
            Fitted { floor: Some(floor).filter(|_| exact || !is_negative), dtype: dtype.clone(), exact }
        }
        (Literal::Datetime(time), DataType::Datetime(unit, zone)) => {
            let nanos = i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos());
            let per_unit = match unit {
                TimeUnit::Nanoseconds => 1,
                TimeUnit::Microseconds => 1_000,
                TimeUnit::Milliseconds => 1_000_000,
            };
            let (floor, rest) = (nanos.div_euclid(per_unit), nanos.rem_euclid(per_unit));
            let value = floor.min(i128::from(i64::MAX));
            let zone = zone.clone().map(Arc::new);
            Fitted {
                floor: i64::try_from(value).ok().map(|value| AnyValue::DatetimeOwned(value, *unit, zone)),
                dtype: dtype.clone(),
                exact: rest == 0 && value == floor,
            }
        }
        (Literal::Decimal(text), DataType::Decimal(precision, scale)) => {
            let (value, exact) = scaled(text, *precision, *scale);
            let floor = value.map(|value| AnyValue::Decimal(value, *precision, *scale));
            Fitted { floor, dtype: dtype.clone(), exact }
        }
        _ => {
            return Err(DatasetError::Unsupported { column: name.to_owned(), dtype: format!("{dtype:?}") });
        }
    })
}

fn nanos_of_day(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000)
}

/// Rounds the decimal `text` down to the largest number that a `decimal(precision, scale)` column can hold. Returns
/// this number, multiplied by 10^`scale`, so that it is a whole number. The number is None if every number that the
/// column can hold is above `text`. Also returns whether the number, before the multiplication, equals `text`.
fn scaled(text: &str, precision: usize, scale: usize) -> (Option<i128>, bool) {
    let most = (0..precision).fold(0_i128, |most, _| most.saturating_mul(10).saturating_add(9));
    if text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        // `NaN` and `Infinity` are above every value, and `-Infinity` is below
        return (Some(most).filter(|_| !text.starts_with('-')), false);
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (kept, cut) = fraction.split_at(fraction.len().min(scale));
    let padding = std::iter::repeat_n(b'0', scale - kept.len());
    let exact = cut.bytes().all(|digit| digit == b'0');
    let magnitude = whole
        .bytes()
        .chain(kept.bytes())
        .chain(padding)
        .try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')));
    match (negative, magnitude) {
        (false, Some(value)) if value <= most => (Some(value), exact),
        (false, _) => (Some(most), false),
        (true, Some(value)) if value + i128::from(!exact) <= most => (Some(-value - i128::from(!exact)), exact),
        (true, _) => (None, false),
    }
}

/// Returns an expression with the result of `test` for each text of the column `name`. The result for NULL is NULL.
fn text_test(
    name: &str,
    schema: &Schema,
    test: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Result<Expr, DatasetError> {
    if !matches!(known(name, schema)?, DataType::String) {
        return Err(DatasetError::Unsupported { column: name.to_owned(), dtype: "not text".to_owned() });
    }
    let map = move |column: Column| {
        let tested: BooleanChunked = column.str()?.iter().map(|text| text.map(&test)).collect();
        Ok(tested.with_name(column.name().clone()).into_series().into_column())
    };
    Ok(named_column(name).map(map, |_, field| Ok(Field::new(field.name().clone(), DataType::Boolean))))
}

/// Whether a text matches the LIKE pattern that consists of `parts`. The needed time is at most quadratic in the length
/// of the text.
pub(in crate::dataset) fn like(text: &str, parts: &[LikePart]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        let step = match parts.get(part) {
            Some(LikePart::Any) => {
                retry = Some((at, part));
                Some(0)
            }
            Some(LikePart::One) => rest.chars().next().map(char::len_utf8),
            Some(LikePart::Text(wanted)) => rest.starts_with(wanted.as_str()).then_some(wanted.len()),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(step) = step {
            at += step;
            part += 1;
            continue;
        }
        let Some((from, any)) = retry else { return false };
        let Some(skipped) = text[from..].chars().next() else { return false };
        at = from + skipped.len_utf8();
        part = any + 1;
        retry = Some((at, any));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_as_in_sql() {
        for (text, pattern, matches) in [
            ("", "", true),
            ("", "%", true),
            ("a", "", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("é", "_", true),
            ("ééa", "%_a", true),
            ("aXbXc", "a%b%c", true),
            ("ababab", "%abab", true),
            ("50%", r"50\%", true),
            ("500", r"50\%", false),
            ("Abc", "a%", false),
            ("a\nb", "a%b", true),
        ] {
            assert_eq!(like(text, &like_parts(pattern)), matches, "{text:?} like {pattern:?}");
        }
    }

    #[test]
    fn decimals_are_rounded_down_to_the_scale_of_their_column() {
        for (text, scale, expected) in [
            ("1.10", 2, (Some(110), true)),
            ("1.1", 2, (Some(110), true)),
            ("1.105", 2, (Some(110), false)),
            ("1.100", 2, (Some(110), true)),
            ("-1.105", 2, (Some(-111), false)),
            ("-1.10", 2, (Some(-110), true)),
            ("7", 0, (Some(7), true)),
            ("0.5", 0, (Some(0), false)),
            ("99.99", 2, (Some(9999), true)),
            ("100", 2, (Some(9999), false)),
            ("-99.99", 2, (Some(-9999), true)),
            ("-99.991", 2, (None, false)),
            ("-1000000000000000000000000000000000000000", 0, (None, false)),
            ("NaN", 2, (Some(9999), false)),
            ("Infinity", 0, (Some(9999), false)),
            ("-Infinity", 0, (None, false)),
        ] {
            assert_eq!(scaled(text, 4, scale), expected, "{text} at scale {scale}");
        }
    }
}
