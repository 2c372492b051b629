//! Polars expressions with known value types, and conversions between these types.

use polars::prelude::{DataType, Expr};
use protocol::catalog::ColumnType;

use super::{
    ExprError,
    exact_decimal::{self, Excess, PRECISION, SCALE},
    exact_float::{self, MIXED},
};

/// A polars expression and the type of its values.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    /// The type of the values; None for an expression that is always NULL.
    pub(super) kind: Option<ColumnType>,
    /// Whether the values are timestamps without a time zone. False for values of all other types.
    pub(super) local: bool,
    /// The column as the source returns it. None unless the expression is only the name of a decimal column.
    pub(super) decimals: Option<Box<Expr>>,
}

impl Typed {
    pub(super) const fn new(expr: Expr, kind: ColumnType) -> Self {
        Self { expr, kind: Some(kind), local: false, decimals: None }
    }

    /// Returns the values as an operand of `*` or `/` of decimals. Such an operand has [`SCALE`] digits after the
    /// point.
    pub(super) fn factor(self) -> Expr {
        decimal(
            self.decimals.map_or(self.expr, |column| exact_decimal::from_text(*column, SCALE, Excess::Rounded)),
            SCALE,
        )
    }

    /// Returns an error if one operand is a timestamp with a time zone, and the other is a timestamp without a time
    /// zone. `at` is the byte offset of the error in the expression.
    pub(super) fn check_zones(&self, other: &Self, at: usize) -> Result<(), ExprError> {
        let is_moment = |one: &Self| one.kind == Some(ColumnType::Datetime);
        if is_moment(self) && is_moment(other) && self.local != other.local {
            let detail = "a timestamp with a time zone and one without can't be compared or mixed: use their parts";
            return Err(ExprError::at(at, detail));
        }
        Ok(())
    }
}

/// Returns the error for an operand of the wrong type. `got` is the type of the operand; None for NULL. `rule` is the
/// text that names the required type. `at` is the byte offset of the error in the expression.
pub(super) fn mismatch(at: usize, rule: &str, got: Option<ColumnType>) -> ExprError {
    ExprError::at(at, format!("{rule}, not {}", got.map_or("null", type_name)))
}

/// Returns the name of a type for error texts.
pub(super) const fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "text",
        ColumnType::Int => "a whole number",
        ColumnType::Float => "a float",
        ColumnType::Decimal => "a decimal",
        ColumnType::Bool => "true or false",
        ColumnType::Date => "a date",
        ColumnType::Datetime => "a timestamp",
        ColumnType::Time => "a time of day",
    }
}

/// Casts the values of an expression to decimals with `scale` digits after the point. If a value does not fit, the
/// export fails.
pub(super) fn decimal(value: Expr, scale: usize) -> Expr {
    value.strict_cast(DataType::Decimal(PRECISION, scale))
}

/// Returns the type to which the operands of an operator are cast. `left` and `right` are their types; None for an
/// operand that is always NULL. Returns None if they have no common type, or if one of them is None.
pub(super) fn common_type(left: Option<ColumnType>, right: Option<ColumnType>) -> Option<ColumnType> {
    use ColumnType::{Decimal, Float, Int};
    match (left?, right?) {
        (Int, Int) => Some(Int),
        (Float, Int | Float | Decimal) | (Int | Decimal, Float) => Some(Float),
        (Int | Decimal, Decimal) | (Decimal, Int) => Some(Decimal),
        (left, right) => (left == right).then_some(left),
    }
}

/// Whether values of the types `left` and `right` must be converted to their common type `kind`. True also for two
/// decimals, because they may have different numbers of digits after the point.
pub(super) fn is_mixed(left: Option<ColumnType>, right: Option<ColumnType>, kind: ColumnType) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    kind == ColumnType::Decimal || left != right
}

/// Casts a value to `kind`, a type from [`common_type`]. The export fails if a whole number or decimal must become a
/// float, and no float has the same digits.
pub(super) fn cast(value: Typed, kind: ColumnType) -> Expr {
    match (value.kind, kind) {
        (Some(ColumnType::Int), ColumnType::Decimal) => decimal(value.expr, 0),
        (Some(ColumnType::Int | ColumnType::Decimal), ColumnType::Float) => exact_float::floats(value.expr, MIXED),
        _ => value.expr,
    }
}
