//! Expressions of calculated columns, such as `round(price * (1 - discount), 2)`.
//!
//! Every expression terminates, uses only the values of one row, and is type-checked before it runs. The language has:
//! - values: `12`, `0.5`, `1e3`, `'text'`, `true`, `false`, `null`, `column`, `"Any Column"`;
//! - `+ - * /`, `= <> != < <= > >=`, `and or not`, parentheses;
//! - the functions `concat coalesce upper lower trim length substring round abs if is_null year month day hour minute
//!   second weekday`.
//!
//! Arithmetic with whole numbers and decimals is exact, but products and quotients of decimals keep only 10 digits
//! after the point. A result that overflows fails the export. `/` of whole numbers gives a float. A whole number or
//! decimal that becomes a float, but has more digits than a float keeps, fails the export. Division by zero gives NULL,
//! and so does nearly every operation with a NULL operand.

mod compile;
#[cfg(test)]
mod digit_tests;
mod error;
mod exact_decimal;
mod exact_float;
mod exact_timestamp;
mod functions;
mod lex;
mod numbers;
mod parse;
#[cfg(test)]
mod tests;
mod typed;

use polars::prelude::{Expr, PolarsError};
use protocol::catalog::{Column, ColumnType};

pub(super) use self::error::ExprError;
use crate::dataset::redact;

/// A compiled expression, which calculates a value from the columns of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Computed {
    /// The polars expression that calculates the values.
    pub(super) expr: Expr,
    /// The type of the expression's result.
    pub(super) kind: ColumnType,
    /// Whether the values are local times, that is, timestamps without a time zone. False for all other types.
    pub(super) local: bool,
    /// The columns that the expression reads, without duplicates.
    pub(super) columns: Vec<String>,
}

/// Parses and type-checks an expression. `columns` are the columns that the expression may name.
///
/// # Errors
/// When the expression is too large or malformed, names an unknown column, or has an operand of the wrong type.
pub(super) fn compile(text: &str, columns: &[Column]) -> Result<Computed, ExprError> {
    let node = parse::parse(text)?;
    let mut compiler = compile::Compiler::new(columns);
    let typed = compiler.node(&node)?;
    let kind = typed.kind.ok_or_else(|| ExprError::at(0, "this is always NULL"))?;
    Ok(Computed { expr: typed.expr, kind, local: typed.local, columns: compiler.into_columns() })
}

/// Returns the cause of a calculation that failed, and what to do. Unlike the error texts of polars, this text contains
/// no value of a row.
pub(crate) fn cause(error: &PolarsError) -> String {
    let text = error.to_string();
    let known = [
        exact_decimal::TOO_LONG,
        exact_decimal::TOO_FINE,
        exact_timestamp::TOO_FINE,
        exact_float::QUOTIENT,
        exact_float::MIXED,
        numbers::TOO_WIDE,
    ];
    if let Some(known) = known.into_iter().find(|known| text.contains(known)) {
        return known.to_owned();
    }
    let overflow = ["conversion from", "overflow in ", "decimal precision"].iter().any(|part| text.contains(part));
    let cause = if overflow {
        "a result is beyond whole numbers of 64 bits, or decimals of 38 digits".to_owned()
    } else {
        redact::polars(error)
    };
    format!("{cause}: change the expression in the template, or leave the row out by a filter")
}

/// Returns the names of the columns that an expression reads, with duplicates. Returns no names for a malformed
/// expression.
pub(super) fn referenced_columns(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(node) = parse::parse(text) {
        node.columns(&mut names);
    }
    names
}
