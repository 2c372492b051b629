//! The reasons why a template cannot create a layout for a dataset.

/// Why a template cannot create a layout for a dataset.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A requested column does not exist.
    #[error("the template has no column `{0}`: request columns that `GET /v1/datasets` lists for the template")]
    NoColumn(String),
    /// The request names the same column twice.
    #[error("column `{0}` is requested twice: request it once")]
    Twice(String),
    /// The template does not fit this dataset, for example because the dataset lacks a column. The text is the reason.
    #[error("the template does not fit the dataset: {0}; use another template, or ask the operator")]
    Unsuited(String),
    /// The expression of a calculated column or of a sort key failed for the values of a row.
    #[error("template `{template}`, {part}{row}: {cause}")]
    Value {
        /// The name of the template.
        template: String,
        /// The part of the template that failed, in words: `column` and the title of a calculated column, or `its sort
        /// keys`.
        part: String,
        /// The row in words, such as `, row 7 of the export`. Empty if the number of the row is unknown.
        row: String,
        /// The cause, and what to do. The text does not repeat a value of the row.
        cause: String,
    },
}
