//! The functions that expressions can call. Each function is one match arm of [`call`].

use polars::prelude::{DataType, Expr, NULL, RoundMode, coalesce, concat_str, lit, when};
use protocol::catalog::ColumnType;

use super::{
    ExprError,
    exact_decimal::{self, Excess},
    numbers,
    typed::{Typed, common_type, decimal, is_mixed, mismatch, type_name},
};

/// The maximum distance of a date from 1970-01-01, in days, for which polars can calculate the year. This is about
/// 260,000 years.
const MAX_DAYS: i32 = 95_000_000;
/// The maximum number of digits after the point that `round` accepts.
const MAX_DIGITS: i64 = 10;

/// Checks the number and types of the arguments of a function call, and compiles the call to a polars expression. `at`
/// is the byte offset of the call in its expression.
pub(super) fn call(at: usize, function: &str, arguments: Vec<Typed>) -> Result<Typed, ExprError> {
    use ColumnType::{Bool, Date, Datetime, Decimal, Float, Int, String as Text, Time};
    let wrong_count =
        |wanted: &str| ExprError::at(at, format!("`{function}` takes {wanted}, not {} values", arguments.len()));
    let wrong_type = |rule: &str, got| mismatch(at, &format!("`{function}` takes {rule}"), got);
    Ok(match (function, arguments.as_slice()) {
        ("concat", [_, ..]) => {
            let parts = arguments.iter().map(|part| text(at, part)).collect::<Result<Vec<_>, _>>()?;
            Typed::new(concat_str(parts, "", true), Text)
        }
        ("concat", _) => return Err(wrong_count("one value or more")),
        ("coalesce", [first, others @ ..]) => {
            let mut kind = first.kind;
            let local = arguments.iter().any(|value| value.local);
            for other in others {
                for one in &arguments {
                    one.check_zones(other, at)?;
                }
                kind = match (kind, other.kind) {
                    (None, any) | (any, None) => any,
                    (left, right) => {
                        Some(common_type(left, right).ok_or_else(|| wrong_type("values of one type", right))?)
                    }
                };
            }
            let Some(kind) = kind else { return Err(wrong_type("a value", None)) };
            let is_mixed = others.iter().any(|other| is_mixed(first.kind.or(Some(kind)), other.kind, kind));
            let values: Vec<Expr> = arguments.into_iter().map(|value| value.expr).collect();
            let expr = if is_mixed { numbers::first_value(values, kind) } else { coalesce(&values) };
            Typed { local, ..Typed::new(expr, kind) }
        }
        ("coalesce", _) => return Err(wrong_count("one value or more")),
        ("if", [condition, then, otherwise]) => {
            if condition.kind != Some(Bool) {
                return Err(wrong_type("a condition first", condition.kind));
            }
            let kind = match (then.kind, otherwise.kind) {
                (None, None) => return Err(wrong_type("a value", None)),
                (None, Some(kind)) | (Some(kind), None) => kind,
                (left, right) => common_type(left, right).ok_or_else(|| wrong_type("two values of one type", right))?,
            };
            then.check_zones(otherwise, at)?;
            let local = then.local || otherwise.local;
            let (condition, then, otherwise) = (condition.expr.clone(), then.clone(), otherwise.clone());
            let expr = if is_mixed(then.kind, otherwise.kind, kind) {
                numbers::either(condition, then.expr, otherwise.expr, kind)
            } else {
                when(condition).then(then.expr).otherwise(otherwise.expr)
            };
            Typed { local, ..Typed::new(expr, kind) }
        }
        ("if", _) => return Err(wrong_count("a condition and two values")),
        ("is_null", [value]) => Typed::new(value.expr.clone().is_null(), Bool),
        ("upper" | "lower" | "trim" | "length", [value]) => {
            if value.kind != Some(Text) {
                return Err(wrong_type("text", value.kind));
            }
            let text = value.expr.clone().str();
            match function {
                "upper" => Typed::new(text.to_uppercase(), Text),
                "lower" => Typed::new(text.to_lowercase(), Text),
                "trim" => Typed::new(text.strip_chars(lit(NULL)), Text),
                _ => Typed::new(text.len_chars().cast(DataType::Int64), Int),
            }
        }
        ("substring", [value, from, length]) => {
            if value.kind != Some(Text) {
                return Err(wrong_type("text first", value.kind));
            }
            let (Some(from), Some(length)) = (constant(from), constant(length)) else {
                return Err(ExprError::at(
                    at,
                    "`substring` takes a text, a position from 1 and a length, both as literal numbers",
                ));
            };
            if from < 1 {
                return Err(ExprError::at(at, "positions in a text begin at 1"));
            }
            Typed::new(value.expr.clone().str().slice(lit(from - 1), lit(length)), Text)
        }
        ("substring", _) => return Err(wrong_count("a text, a position and a length")),
        ("round", [value, digits]) => {
            let Some(digits) = constant(digits).filter(|digits| (0..=MAX_DIGITS).contains(digits)) else {
                return Err(ExprError::at(
                    at,
                    format!("`round` takes a number and a number of digits from 0 to {MAX_DIGITS}"),
                ));
            };
            let places = usize::try_from(digits).unwrap_or_default();
            match value.kind {
                Some(Int) => value.clone(),
                Some(Decimal) => {
                    let column = value.decimals.clone();
                    let column = column.map(|column| exact_decimal::from_text(*column, places, Excess::RoundedToEven));
                    Typed::new(decimal(column.unwrap_or_else(|| value.expr.clone()), places), Decimal)
                }
                Some(Float) => Typed::new(value.expr.clone().round(places as u32, RoundMode::HalfAwayFromZero), Float),
                other => return Err(wrong_type("a number", other)),
            }
        }
        ("round", _) => return Err(wrong_count("a number and its digits")),
        ("abs", [value]) => match value.kind {
            // the absolute value of the smallest integer would silently be negative
            Some(Int) => Typed::new(decimal(value.expr.clone(), 0).abs().strict_cast(DataType::Int64), Int),
            Some(kind @ (Decimal | Float)) => Typed::new(value.expr.clone().abs(), kind),
            other => return Err(wrong_type("a number", other)),
        },
        ("year" | "month" | "day" | "weekday", [value]) => {
            if !matches!(value.kind, Some(Date | Datetime)) {
                return Err(wrong_type("a date or a timestamp", value.kind));
            }
            let date = within_calendar(value).dt();
            let part = match function {
                "year" => date.year(),
                "month" => date.month(),
                "day" => date.day(),
                _ => date.weekday(),
            };
            Typed::new(part.cast(DataType::Int64), Int)
        }
        ("hour" | "minute" | "second", [value]) => {
            if !matches!(value.kind, Some(Time | Datetime)) {
                return Err(wrong_type("a timestamp or a time of day", value.kind));
            }
            let time = within_calendar(value).dt();
            let part = match function {
                "hour" => time.hour(),
                "minute" => time.minute(),
                _ => time.second(),
            };
            Typed::new(part.cast(DataType::Int64), Int)
        }
        (
            "is_null" | "upper" | "lower" | "trim" | "length" | "abs" | "year" | "month" | "day" | "weekday" | "hour"
            | "minute" | "second",
            _,
        ) => return Err(wrong_count("one value")),
        _ => return Err(ExprError::at(at, format!("there is no function `{function}`"))),
    })
}

/// Returns an expression that is NULL for an infinite date or timestamp, and for a date or timestamp that is more than
/// [`MAX_DAYS`] from 1970-01-01. Other values stay unchanged.
fn within_calendar(value: &Typed) -> Expr {
    let limit = match value.kind {
        Some(ColumnType::Date) => i64::from(MAX_DAYS),
        Some(ColumnType::Datetime) => i64::from(MAX_DAYS) * 86_400_000_000,
        _ => return value.expr.clone(),
    };
    // polars cannot cast a date to 64 bits directly
    let number = match value.kind {
        Some(ColumnType::Date) => value.expr.clone().cast(DataType::Int32).cast(DataType::Int64),
        _ => value.expr.clone().cast(DataType::Int64),
    };
    let known = number.clone().gt_eq(lit(-limit)).and(number.lt_eq(lit(limit)));
    when(known).then(value.expr.clone()).otherwise(lit(NULL))
}

/// Converts an argument of `concat` to text. Returns an error for a float, a timestamp or a time of day, because its
/// text would depend on the source.
fn text(at: usize, value: &Typed) -> Result<Expr, ExprError> {
    match value.kind {
        None => Ok(lit("")),
        Some(ColumnType::String) => Ok(value.expr.clone()),
        Some(ColumnType::Decimal) => {
            Ok(value.decimals.as_deref().unwrap_or(&value.expr).clone().cast(DataType::String))
        }
        Some(ColumnType::Int | ColumnType::Bool | ColumnType::Date) => {
            Ok(within_calendar(value).cast(DataType::String))
        }
        Some(kind @ (ColumnType::Float | ColumnType::Datetime | ColumnType::Time)) => Err(ExprError::at(
            at,
            format!("`concat` does not take {}: its text would depend on the source; use its parts", type_name(kind)),
        )),
    }
}

/// Returns the number of an expression that consists of a single whole number, such as `2`. Returns None for any other
/// expression.
fn constant(value: &Typed) -> Option<i64> {
    if value.kind != Some(ColumnType::Int) {
        return None;
    }
    match &value.expr {
        Expr::Literal(literal) => literal.to_any_value().and_then(|value| value.extract::<i64>()),
        _ => None,
    }
}
