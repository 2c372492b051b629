//! The reasons why a template cannot create a layout for a dataset.

/// Why a template cannot create a layout for a dataset.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A requested column does not exist.
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
