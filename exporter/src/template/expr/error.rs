//! Errors of parsing and type-checking expressions.

/// Why the expression of a calculated column is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {detail}")]
pub(in crate::template) struct ExprError {
    /// The position of the fault in the expression, in bytes from 0.
    pub(super) at: usize,
    /// The text of the fault, for the author of the expression.
    pub(super) detail: String,
}

impl ExprError {
    pub(super) fn at(at: usize, detail: impl Into<String>) -> Self {
        Self { at, detail: detail.into() }
    }
}
