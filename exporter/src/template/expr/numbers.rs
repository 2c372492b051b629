//! Operations on numbers of different types: comparisons, sums, and the choice between two values. Every result is
//! exact, or an error.

use std::cmp::Ordering;

use polars::prelude::{
    Column, DataType, Expr, Field, Float64Chunked, Int32Chunked, Int64Chunked, Int128Chunked, IntoColumn, IntoSeries,
    NewChunkedArray, PlSmallStr, PolarsResult, lit, map_multiple, polars_bail, polars_err,
};
use protocol::{catalog::ColumnType, decimal};

use super::{
    exact_decimal::{PRECISION, SCALE},
    exact_float::{self, MIXED},
};
use crate::dataset::numbers::decimal_text;

/// The error text for decimals that need more than [`PRECISION`] digits if all of them get the same number of digits
/// after the point.
pub(super) const TOO_WIDE: &str = "decimals with different numbers of digits after the point have more than 38 digits \
    together: round one of them";

/// The smallest number with more than [`PRECISION`] digits.
const LIMIT: u128 = 10_u128.pow(PRECISION as u32);

/// The values of a column of numbers. Each variant is one type of numbers.
pub(super) enum Numbers {
    /// A column of the type null: all values are NULL.
    Nulls,
    Whole(Int64Chunked),
    /// Decimals without their decimal points, and the number of digits after the point.
    Decimals(Int128Chunked, usize),
    Floats(Float64Chunked),
}

/// A number of any type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// A whole number or decimal: the number without its decimal point, and the number of digits after the point.
    Decimal(i128, usize),
    Float(f64),
}

impl Numbers {
    pub(super) fn of(column: &Column) -> PolarsResult<Self> {
        let series = column.as_materialized_series().rechunk();
        Ok(match series.dtype() {
            DataType::Null => Self::Nulls,
            DataType::Decimal(_, scale) => Self::Decimals(series.to_physical_repr().i128()?.clone(), *scale),
            other if other.is_integer() => Self::Whole(series.strict_cast(&DataType::Int64)?.i64()?.clone()),
            other if other.is_float() => Self::Floats(series.strict_cast(&DataType::Float64)?.f64()?.clone()),
            other => polars_bail!(SchemaMismatch: "{} is no number", other),
        })
    }

    /// Returns the number in `row`; None for NULL. A column of one value has this value in each row, because polars
    /// passes a constant as such a column.
    pub(super) fn get(&self, row: usize) -> Option<Number> {
        let at = |length: usize| if length == 1 { 0 } else { row };
        match self {
            Self::Nulls => None,
            Self::Whole(values) => values.get(at(values.len())).map(|value| Number::Decimal(value.into(), 0)),
            Self::Decimals(values, scale) => values.get(at(values.len())).map(|value| Number::Decimal(value, *scale)),
            Self::Floats(values) => values.get(at(values.len())).map(Number::Float),
        }
    }
}

impl Number {
    /// Returns the 64-bit float with the same digits; None if there is no such float.
    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Decimal(unscaled, scale) => exact_float::exact(unscaled, scale),
            Self::Float(value) => Some(value),
        }
    }

    /// Returns the decimal without its point, with `scale` digits after the point. Returns None for a float, and if the
    /// result has more than [`PRECISION`] digits.
    fn unscaled(self, scale: usize) -> Option<i128> {
        let Self::Decimal(unscaled, own) = self else { return None };
        let factor = 10_i128.checked_pow(u32::try_from(scale.checked_sub(own)?).ok()?)?;
        unscaled.checked_mul(factor).filter(|value| value.unsigned_abs() < LIMIT)
    }

    /// Compares two numbers by their exact values. The value of a float is the number that its shortest decimal text
    /// states. NaN is greater than all other numbers, as in polars.
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Decimal(left, left_scale), Self::Decimal(right, right_scale)) => {
                let scale = left_scale.max(right_scale);
                match (self.unscaled(scale), other.unscaled(scale)) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    _ => decimal::compare(
                        &exact_float::written(left, left_scale),
                        &exact_float::written(right, right_scale),
                    ),
                }
            }
            (Self::Decimal(unscaled, scale), Self::Float(float)) => match exact_float::quick(unscaled, scale) {
                Some(left) if !float.is_nan() => left.partial_cmp(&float).unwrap_or(Ordering::Equal),
                _ => decimal::compare(&exact_float::written(unscaled, scale), &decimal_text(float)),
            },
            (Self::Float(_), Self::Decimal(..)) => other.compare(self).reverse(),
            (Self::Float(left), Self::Float(right)) => decimal::compare(&decimal_text(left), &decimal_text(right)),
        }
    }
}

/// Returns the number of rows of the longest column.
fn rows(columns: &[Column]) -> usize {
    let lengths = || columns.iter().map(Column::len);
    // a constant has length 1 in a frame of any height, and of none
    if lengths().any(|length| length == 0) { 0 } else { lengths().max().unwrap_or_default() }
}

/// Returns the greatest number of digits after the point that values of these types have. Whole numbers have none.
fn common_scale<'a>(types: impl Iterator<Item = &'a DataType>) -> usize {
    types.map(|dtype| if let DataType::Decimal(_, scale) = dtype { *scale } else { 0 }).max().unwrap_or_default()
}

/// Builds a column of the type `kind`, which is float or decimal, from one number for each row. `scale` is the number
/// of digits after the point of decimals.
///
/// # Errors
/// When a number does not fit the type exactly.
fn column(
    name: PlSmallStr,
    kind: ColumnType,
    scale: usize,
    numbers: impl Iterator<Item = Option<Number>>,
) -> PolarsResult<Column> {
    let series = if kind == ColumnType::Float {
        let convert = |number: Number| number.float().ok_or_else(|| exact_float::refused(MIXED));
        let floats = numbers.map(|number| number.map(convert).transpose()).collect::<PolarsResult<Vec<_>>>()?;
        Float64Chunked::from_iter_options(name, floats.into_iter()).into_series()
    } else {
        let convert = |number: Number| number.unscaled(scale).ok_or_else(|| exact_float::refused(TOO_WIDE));
        let values = numbers.map(|number| number.map(convert).transpose()).collect::<PolarsResult<Vec<_>>>()?;
        Int128Chunked::from_iter_options(name, values.into_iter()).into_decimal(PRECISION, scale)?.into_series()
    };
    Ok(series.into_column())
}

fn field(fields: &[Field], kind: ColumnType) -> Field {
    let scale = || common_scale(fields.iter().map(Field::dtype));
    let dtype = if kind == ColumnType::Float { DataType::Float64 } else { DataType::Decimal(PRECISION, scale()) };
    Field::new(fields.first().map(|field| field.name().clone()).unwrap_or_default(), dtype)
}

/// Returns an expression for the first of several values that is not NULL. `kind` is the type of the result, float or
/// decimal.
pub(super) fn first_value(values: Vec<Expr>, kind: ColumnType) -> Expr {
    let choose = move |columns: &mut [Column]| {
        let numbers = columns.iter().map(Numbers::of).collect::<PolarsResult<Vec<_>>>()?;
        let first = |row: usize| numbers.iter().find_map(|values| values.get(row));
        let scale = common_scale(columns.iter().map(Column::dtype));
        column(columns[0].name().clone(), kind, scale, (0..rows(columns)).map(first))
    };
    map_multiple(choose, values, move |_, fields| Ok(field(fields, kind)))
}

/// Returns an expression for the value of `then` if `condition` is true, and for the value of `otherwise` in all other
/// cases. `kind` is the type of the result, float or decimal.
pub(super) fn either(condition: Expr, then: Expr, otherwise: Expr, kind: ColumnType) -> Expr {
    let choose = move |columns: &mut [Column]| {
        let [condition, then, otherwise] = &*columns else { polars_bail!(ShapeMismatch: "three columns are needed") };
        let (left, right) = (Numbers::of(then)?, Numbers::of(otherwise)?);
        let is_true = condition.bool()?;
        let holds = |row: usize| is_true.get(if is_true.len() == 1 { 0 } else { row }) == Some(true);
        let scale = common_scale([then.dtype(), otherwise.dtype()].into_iter());
        let numbers = (0..rows(columns)).map(|row| if holds(row) { left.get(row) } else { right.get(row) });
        column(then.name().clone(), kind, scale, numbers)
    };
    map_multiple(choose, [condition, then, otherwise], move |_, fields| Ok(field(&fields[1..], kind)))
}

/// Returns an expression for the sum of two whole numbers or decimals, or for their difference if `is_difference` is
/// true. The calculation fails if the result has more than [`PRECISION`] digits.
pub(super) fn sum(left: Expr, right: Expr, is_difference: bool) -> Expr {
    let add = move |columns: &mut [Column]| {
        let [left, right] = &*columns else { polars_bail!(ShapeMismatch: "two columns are needed") };
        let (lefts, rights) = (Numbers::of(left)?, Numbers::of(right)?);
        let scale = common_scale([left.dtype(), right.dtype()].into_iter());
        let add = |row: usize| -> PolarsResult<Option<i128>> {
            let (Some(left), Some(right)) = (lefts.get(row), rights.get(row)) else { return Ok(None) };
            let unscaled = |number: Number| number.unscaled(scale).ok_or_else(|| exact_float::refused(TOO_WIDE));
            let (left, right) = (unscaled(left)?, unscaled(right)?);
            let sum = if is_difference { left.checked_sub(right) } else { left.checked_add(right) };
            let sum = sum.filter(|sum| sum.unsigned_abs() < LIMIT);
            sum.map(Some).ok_or_else(|| polars_err!(ComputeError: "overflow in a sum of decimals"))
        };
        let sums = (0..rows(columns)).map(add).collect::<PolarsResult<Vec<_>>>()?;
        let sums = Int128Chunked::from_iter_options(left.name().clone(), sums.into_iter());
        Ok(sums.into_decimal(PRECISION, scale)?.into_series().into_column())
    };
    map_multiple(add, [left, right], |_, fields| Ok(field(fields, ColumnType::Decimal)))
}

/// Returns an expression that is NULL if the divisor is zero, and the divisor otherwise. `kind` is the type of the
/// result: float, or decimal with [`SCALE`] digits after the point.
pub(super) fn zero_is_null(divisor: Expr, kind: ColumnType) -> Expr {
    let replace = |column: Column| {
        let name = column.name().clone();
        Ok(match Numbers::of(&column)? {
            Numbers::Floats(values) => {
                let values = values.iter().map(|value| value.filter(|value| *value != 0.0));
                Float64Chunked::from_iter_options(name, values).into_series().into_column()
            }
            Numbers::Decimals(values, scale) => {
                let values = values.iter().map(|value| value.filter(|value| *value != 0));
                let values = Int128Chunked::from_iter_options(name, values);
                values.into_decimal(PRECISION, scale)?.into_series().into_column()
            }
            Numbers::Nulls | Numbers::Whole(_) => column,
        })
    };
    // the type of a constant is not known to polars
    let dtype = if kind == ColumnType::Float { DataType::Float64 } else { DataType::Decimal(PRECISION, SCALE) };
    divisor.map(replace, move |_, field| Ok(Field::new(field.name().clone(), dtype.clone())))
}

/// Returns two expressions whose comparison gives the same result as comparing the numbers `left` and `right` by their
/// exact values. polars can't compare numbers of different types exactly. The first expression is -1, 0 or 1, and the
/// second is 0.
pub(super) fn ordering(left: Expr, right: Expr) -> (Expr, Expr) {
    let compare = |columns: &mut [Column]| {
        let [left, right] = &*columns else { polars_bail!(ShapeMismatch: "two columns are needed") };
        let (lefts, rights) = (Numbers::of(left)?, Numbers::of(right)?);
        let orders = (0..rows(columns)).map(|row| Some(lefts.get(row)?.compare(rights.get(row)?) as i32));
        Ok(Int32Chunked::from_iter_options(left.name().clone(), orders).into_series().into_column())
    };
    let order =
        map_multiple(compare, [left, right], |_, fields| Ok(Field::new(fields[0].name().clone(), DataType::Int32)));
    (order, lit(0_i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_different_types_compare_by_their_digits() {
        use Ordering::{Equal, Greater, Less};
        let largest = 10_i128.pow(38) - 1;
        for (left, right, expected) in [
            (Number::Decimal(1_999, 2), Number::Float(19.99), Equal),
            (Number::Decimal(9_007_199_254_740_993, 0), Number::Float(9_007_199_254_740_992.0), Greater),
            (Number::Decimal(i128::from(i64::MAX), 0), Number::Float(9_223_372_036_854_775_807.0), Less),
            (Number::Decimal(1, 0), Number::Float(f64::NAN), Less),
            (Number::Decimal(1 << 100, 0), Number::Float(f64::INFINITY), Less),
            (Number::Decimal(-1, 0), Number::Float(f64::NEG_INFINITY), Greater),
            (Number::Decimal(0, 5), Number::Float(-0.0), Equal),
            (Number::Decimal(largest, 0), Number::Decimal(1, 38), Greater),
            (Number::Decimal(-largest, 0), Number::Decimal(1, 38), Less),
            (Number::Decimal(10, 1), Number::Decimal(1, 0), Equal),
        ] {
            assert_eq!(left.compare(right), expected, "{left:?} {right:?}");
            assert_eq!(right.compare(left), expected.reverse(), "{right:?} {left:?}");
        }
    }
}
