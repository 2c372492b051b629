//! Errors of laying out a dataset by a template.

/// Why a template cannot lay out a dataset.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template has no column of this name.
    #[error("there is no column `{0}`")]
    NoColumn(String),
    /// The request names the same column twice.
    #[error("column `{0}` is requested twice")]
    Twice(String),
    /// The template does not fit the dataset.
    #[error("the template does not fit the dataset: {0}")]
    Unsuited(String),
    /// The expression of a calculated column failed for the values of a row.
    #[error("a calculated column failed: {0}")]
    Value(String),
}
