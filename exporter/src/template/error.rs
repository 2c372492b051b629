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
    /// The template can't be used for this dataset, for example because the dataset lacks a column. The text is the
    /// reason.
    #[error("the template does not fit the dataset: {0}")]
    Unsuited(String),
    /// The expression of a calculated column failed for the values of a row.
    #[error("a calculated column failed: {0}")]
    Value(String),
}
