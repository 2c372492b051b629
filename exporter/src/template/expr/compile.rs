//! Type-checks a syntax tree and compiles it to a polars expression.

use polars::prelude::{DataType, Expr, LiteralValue, NULL, lit};
use protocol::catalog::{Column, ColumnType};

use super::{
    ExprError,
    exact_decimal::{self, Excess, PRECISION, SCALE},
    exact_float::{self, QUOTIENT},
    exact_timestamp, functions,
    numbers::{self, zero_is_null},
    parse::{Kind, Node},
    typed::{Typed, cast, common_type, decimal, is_mixed, mismatch, type_name},
};
use crate::{format::named_column, value::float32};

pub(super) struct Compiler<'a> {
    columns: &'a [Column],
    used: Vec<String>,
}

impl<'a> Compiler<'a> {
    pub(super) const fn new(columns: &'a [Column]) -> Self {
        Self { columns, used: Vec::new() }
    }

    pub(super) fn into_columns(self) -> Vec<String> {
        self.used
    }

    pub(super) fn node(&mut self, node: &Node) -> Result<Typed, ExprError> {
        use ColumnType::{Bool, Decimal, Float, Int, String as Text};
        Ok(match &node.kind {
            Kind::Number(text) => number(node.at, text)?,
            Kind::Text(text) => Typed::new(lit(text.clone()), Text),
            Kind::Bool(value) => Typed::new(lit(*value), Bool),
            Kind::Null => Typed { expr: lit(NULL), kind: None, local: false, decimals: None },
            Kind::Column(name) => self.column(node.at, name)?,
            Kind::Minus(inner) => {
                let value = self.node(inner)?;
                match value.kind {
                    Some(Int | Float | Decimal) => arithmetic(node.at, "-", number(node.at, "0")?, value)?,
                    other => return Err(mismatch(node.at, "`-` takes a number", other)),
                }
            }
            Kind::Not(inner) => {
                let value = self.node(inner)?;
                match value.kind {
                    Some(Bool) => Typed::new(value.expr.not(), Bool),
                    other => return Err(mismatch(node.at, "`not` takes true or false", other)),
                }
            }
            Kind::Binary(operator @ ("and" | "or"), left, right) => {
                let (left, right) = (self.node(left)?, self.node(right)?);
                for side in [&left, &right] {
                    if side.kind != Some(Bool) {
                        return Err(mismatch(node.at, &format!("`{operator}` takes true or false"), side.kind));
                    }
                }
                let expr = if *operator == "and" { left.expr.and(right.expr) } else { left.expr.or(right.expr) };
                Typed::new(expr, Bool)
            }
            Kind::Binary(operator @ ("+" | "-" | "*" | "/"), left, right) => {
                let (left, right) = (self.node(left)?, self.node(right)?);
                arithmetic(node.at, operator, left, right)?
            }
            Kind::Binary(operator, left, right) => {
                let (left, right) = (self.node(left)?, self.node(right)?);
                comparison(node.at, operator, left, right)?
            }
            Kind::Call(name, arguments) => {
                let arguments = arguments.iter().map(|argument| self.node(argument)).collect::<Result<Vec<_>, _>>()?;
                functions::call(node.at, name, arguments)?
            }
        })
    }

    /// Compiles a reference to the column `name`. Casts the column to the polars type with which expressions represent
    /// the column's type. `at` is the byte offset of the name in the expression.
    fn column(&mut self, at: usize, name: &str) -> Result<Typed, ExprError> {
        let Some(column) = self.columns.iter().find(|column| column.name == name) else {
            return Err(ExprError::at(at, format!("there is no column `{name}`")));
        };
        if !self.used.iter().any(|used| used == name) {
            self.used.push(name.to_owned());
        }
        let source = named_column(name);
        let decimals = (column.kind == ColumnType::Decimal).then(|| Box::new(source.clone()));
        let expr = match column.kind {
            ColumnType::Int => source.strict_cast(DataType::Int64),
            ColumnType::Float => float32::doubles(source),
            ColumnType::Decimal => exact_decimal::from_text(source, SCALE, Excess::Refused),
            ColumnType::Datetime => exact_timestamp::microseconds(source),
            _ => source,
        };
        Ok(Typed { local: column.local, decimals, ..Typed::new(expr, column.kind) })
    }
}

fn number(at: usize, text: &str) -> Result<Typed, ExprError> {
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| ExprError::at(at, format!("`{text}` is not a number")))?;
        if !value.is_finite() {
            return Err(ExprError::at(at, format!("`{text}` is too large for a float")));
        }
        return Ok(Typed::new(lit(value), ColumnType::Float));
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if let Some((_, fraction)) = text.split_once('.') {
        if digits > PRECISION || fraction.len() > SCALE {
            return Err(ExprError::at(at, format!("a decimal has at most {SCALE} digits after its point")));
        }
        return Ok(Typed::new(decimal_literal(text, fraction.len()), ColumnType::Decimal));
    }
    let value: i64 = text.parse().map_err(|_| ExprError::at(at, format!("`{text}` does not fit into 64 bits")))?;
    Ok(Typed::new(lit(value), ColumnType::Int))
}

fn decimal_literal(text: &str, scale: usize) -> Expr {
    let unscaled: i128 = text.bytes().filter(u8::is_ascii_digit).fold(0, |n, d| n * 10 + i128::from(d - b'0'));
    lit(LiteralValue::Scalar(polars::prelude::Scalar::new_decimal(unscaled, PRECISION, scale)))
}

fn arithmetic(at: usize, operator: &str, left: Typed, right: Typed) -> Result<Typed, ExprError> {
    use ColumnType::{Decimal, Float, Int};
    let kind = match common_type(left.kind, right.kind) {
        Some(kind @ (Int | Float | Decimal)) => kind,
        _ => {
            let side = if matches!(left.kind, Some(Int | Float | Decimal)) { right.kind } else { left.kind };
            return Err(mismatch(at, &format!("`{operator}` takes numbers"), side));
        }
    };
    Ok(match (kind, operator) {
        (Int, "/") => {
            let divisor = zero_is_null(exact_float::floats(right.expr, QUOTIENT), Float);
            Typed::new(exact_float::floats(left.expr, QUOTIENT) / divisor, Float)
        }
        // integers would silently overflow; decimals report an overflow
        (Int, _) => {
            let (left, right) = (decimal(left.expr, 0), decimal(right.expr, 0));
            Typed::new(apply(operator, left, right).strict_cast(DataType::Int64), Int)
        }
        (Decimal, "/") => {
            let divisor = zero_is_null(right.factor(), Decimal);
            Typed::new(left.factor() / divisor, Decimal)
        }
        (Decimal, "*") => Typed::new(left.factor() * right.factor(), Decimal),
        (Decimal, _) => Typed::new(numbers::sum(left.expr, right.expr, operator == "-"), Decimal),
        (_, "/") => {
            let divisor = zero_is_null(cast(right, Float), Float);
            Typed::new(cast(left, Float) / divisor, Float)
        }
        _ => Typed::new(apply(operator, cast(left, Float), cast(right, Float)), Float),
    })
}

fn apply(operator: &str, left: Expr, right: Expr) -> Expr {
    match operator {
        "+" => left + right,
        "-" => left - right,
        _ => left * right,
    }
}

fn comparison(at: usize, operator: &str, left: Typed, right: Typed) -> Result<Typed, ExprError> {
    let Some(kind) = common_type(left.kind, right.kind) else {
        let rule = format!(
            "`{operator}` compares values of one type; the left one is {}",
            left.kind.map_or("null", type_name)
        );
        return Err(mismatch(at, &rule, right.kind));
    };
    left.check_zones(&right, at)?;
    let (left, right) = if is_mixed(left.kind, right.kind, kind) {
        numbers::ordering(left.expr, right.expr)
    } else {
        (left.expr, right.expr)
    };
    let expr = match operator {
        "=" => left.eq(right),
        "<" => left.lt(right),
        "<=" => left.lt_eq(right),
        ">" => left.gt(right),
        ">=" => left.gt_eq(right),
        _ => left.neq(right),
    };
    Ok(Typed::new(expr, ColumnType::Bool))
}
