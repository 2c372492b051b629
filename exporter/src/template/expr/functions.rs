//! The functions, one arm each.

use polars::prelude::{DataType, Expr, NULL, RoundMode, coalesce, concat_str, lit, when};
use protocol::catalog::ColumnType;

use super::{
    ExprError,
    compile::{Typed, cast, common, decimal, name, wrong},
};

/// Days before and after 1970 whose years polars can say: some 260,000 years.
const MOST_DAYS: i32 = 95_000_000;
/// The most digits that `round` takes.
const MOST_DIGITS: i64 = 10;

/// Applies a function to its arguments.
pub(super) fn call(at: usize, function: &str, arguments: Vec<Typed>) -> Result<Typed, ExprError> {
    use ColumnType::{Bool, Date, Datetime, Decimal, Float, Int, String as Text, Time};
    let count =
        |wanted: &str| ExprError::at(at, format!("`{function}` takes {wanted}, not {} values", arguments.len()));
    let takes = |rule: &str, got| wrong(at, &format!("`{function}` takes {rule}"), got);
    Ok(match (function, arguments.as_slice()) {
        ("concat", [_, ..]) => {
            let parts = arguments.iter().map(|part| text(at, part)).collect::<Result<Vec<_>, _>>()?;
            Typed::new(concat_str(parts, "", true), Text)
        }
        ("concat", _) => return Err(count("one value or more")),
        ("coalesce", [first, others @ ..]) => {
            let mut kind = first.kind;
            for other in others {
                kind = match (kind, other.kind) {
                    (None, any) | (any, None) => any,
                    (left, right) => Some(common(left, right).ok_or_else(|| takes("values of one type", right))?),
                };
            }
            let Some(kind) = kind else { return Err(takes("a value", None)) };
            let values: Vec<Expr> = arguments.into_iter().map(|value| cast(value, kind)).collect();
            Typed::new(coalesce(&values), kind)
        }
        ("coalesce", _) => return Err(count("one value or more")),
        ("if", [condition, then, otherwise]) => {
            if condition.kind != Some(Bool) {
                return Err(takes("a condition first", condition.kind));
            }
            let kind = match (then.kind, otherwise.kind) {
                (None, None) => return Err(takes("a value", None)),
                (None, Some(kind)) | (Some(kind), None) => kind,
                (left, right) => common(left, right).ok_or_else(|| takes("two values of one type", right))?,
            };
            let (condition, then, otherwise) = (condition.expr.clone(), then.clone(), otherwise.clone());
            Typed::new(when(condition).then(cast(then, kind)).otherwise(cast(otherwise, kind)), kind)
        }
        ("if", _) => return Err(count("a condition and two values")),
        ("is_null", [value]) => Typed::new(value.expr.clone().is_null(), Bool),
        ("upper" | "lower" | "trim" | "length", [value]) => {
            if value.kind != Some(Text) {
                return Err(takes("text", value.kind));
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
                return Err(takes("text first", value.kind));
            }
            let (Some(from), Some(length)) = (constant(from), constant(length)) else {
                return Err(ExprError::at(
                    at,
                    "`substring` takes a text, a first place from 1 and a length, both as digits",
                ));
            };
            if from < 1 {
                return Err(ExprError::at(at, "the first place of a text is 1"));
            }
            Typed::new(value.expr.clone().str().slice(lit(from - 1), lit(length)), Text)
        }
        ("substring", _) => return Err(count("a text, a first place and a length")),
        ("round", [value, digits]) => {
            let Some(digits) = constant(digits).filter(|digits| (0..=MOST_DIGITS).contains(digits)) else {
                return Err(ExprError::at(
                    at,
                    format!("`round` takes a number and its digits, from 0 to {MOST_DIGITS}"),
                ));
            };
            let places = usize::try_from(digits).unwrap_or_default();
            match value.kind {
                Some(Int) => value.clone(),
                Some(Decimal) => Typed::new(decimal(value.expr.clone(), places), Decimal),
                Some(Float) => Typed::new(value.expr.clone().round(places as u32, RoundMode::HalfAwayFromZero), Float),
                other => return Err(takes("a number", other)),
            }
        }
        ("round", _) => return Err(count("a number and its digits")),
        ("abs", [value]) => match value.kind {
            Some(kind @ (Int | Decimal | Float)) => Typed::new(value.expr.clone().abs(), kind),
            other => return Err(takes("a number", other)),
        },
        ("year" | "month" | "day" | "weekday", [value]) => {
            if !matches!(value.kind, Some(Date | Datetime)) {
                return Err(takes("a date or a moment", value.kind));
            }
            let date = on_the_calendar(value).dt();
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
                return Err(takes("a moment or a time of day", value.kind));
            }
            let time = on_the_calendar(value).dt();
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
        ) => return Err(count("one value")),
        _ => return Err(ExprError::at(at, format!("there is no function `{function}`"))),
    })
}

/// A date or moment, or NULL where it has no year that polars could say: infinite ones, and some in the far past or future.
fn on_the_calendar(value: &Typed) -> Expr {
    let most = i64::from(MOST_DAYS);
    let most = match value.kind {
        Some(ColumnType::Date) => most,
        Some(ColumnType::Datetime) => most * 86_400_000_000,
        _ => return value.expr.clone(),
    };
    // first the number, then 64 bits: there is no shorter way from a date
    let number = match value.kind {
        Some(ColumnType::Date) => value.expr.clone().cast(DataType::Int32).cast(DataType::Int64),
        _ => value.expr.clone().cast(DataType::Int64),
    };
    let known = number.clone().gt_eq(lit(-most)).and(number.lt_eq(lit(most)));
    when(known).then(value.expr.clone()).otherwise(lit(NULL))
}

/// A value as text, for `concat`.
fn text(at: usize, value: &Typed) -> Result<Expr, ExprError> {
    match value.kind {
        None => Ok(lit("")),
        Some(ColumnType::String) => Ok(value.expr.clone()),
        Some(ColumnType::Int | ColumnType::Decimal | ColumnType::Bool | ColumnType::Date) => {
            Ok(on_the_calendar(value).cast(DataType::String))
        }
        Some(kind @ (ColumnType::Float | ColumnType::Datetime | ColumnType::Time)) => Err(ExprError::at(
            at,
            format!("`concat` does not take {}: its text would depend on the source; use its parts", name(kind)),
        )),
    }
}

/// The value of digits as they are written.
fn constant(value: &Typed) -> Option<i64> {
    if value.kind != Some(ColumnType::Int) {
        return None;
    }
    match &value.expr {
        Expr::Literal(literal) => literal.to_any_value().and_then(|value| value.extract::<i64>()),
        _ => None,
    }
}
