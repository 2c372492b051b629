//! Expressions of calculated columns: `round(price * (1 - discount), 2)`.
//!
//! A small language that always ends, reads nothing but the row and is typed before it runs:
//! - values: `12`, `0.5`, `1e3`, `'text'`, `true`, `false`, `null`, `column`, `"Any Column"`;
//! - `+ - * /`, `= <> != < <= > >=`, `and or not`, parentheses;
//! - `concat coalesce upper lower trim length substring round abs if is_null year month day hour minute second weekday`.
//!
//! Whole numbers and decimals are calculated exactly, and a result that is too large fails the export instead of being
//! wrong; `/` of whole numbers is a float; a division by zero is NULL, and so is nearly everything with NULL in it.

mod compile;
mod exact;
mod functions;
mod lex;
mod parse;

use polars::prelude::Expr;
use protocol::catalog::{Column, ColumnType};

/// An expression over the columns of a dataset, ready to be calculated.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// For polars.
    pub expr: Expr,
    /// The type of its values.
    pub kind: ColumnType,
    /// The columns that it reads, each once.
    pub columns: Vec<String>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {detail}")]
pub struct ExprError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What.
    pub detail: String,
}

impl ExprError {
    fn at(at: usize, detail: impl Into<String>) -> Self {
        Self { at, detail: detail.into() }
    }
}

/// Reads and checks an expression over these columns.
///
/// # Errors
/// When it is too large, is not well formed, names no column, or does with a value what its type can't.
pub fn compile(text: &str, columns: &[Column]) -> Result<Computed, ExprError> {
    let node = parse::parse(text)?;
    let mut compiler = compile::Compiler::new(columns);
    let typed = compiler.node(&node)?;
    let kind = typed.kind.ok_or_else(|| ExprError::at(0, "this is always NULL"))?;
    Ok(Computed { expr: typed.expr, kind, columns: compiler.into_columns() })
}

/// The columns that an expression names, each time that it does; none of one that can't be read.
pub(super) fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(node) = parse::parse(text) {
        node.columns(&mut names);
    }
    names
}

#[cfg(test)]
mod tests;
