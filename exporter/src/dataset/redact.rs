//! Rewrites errors of libraries for logs and dead letters. The original texts may contain values of rows; the new texts
//! never do.

use polars::prelude::PolarsError;
use tokio::task::JoinError;

/// The begin of the texts of polars about Parquet features that polars lacks.
const UNSUPPORTED: &str = "parquet: Not yet supported";
/// The begin of the texts of polars about files that do not follow the specification of Parquet.
const INVALID: &str = "parquet: File out of specification";

/// Returns a text for a polars error. The text names the kind of the error, and possibly a missing column or the kind
/// of an I/O error, but no value of a row.
pub(crate) fn polars(error: &PolarsError) -> String {
    let kind = match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => return polars(error),
        // the texts of these two errors are names of columns
        PolarsError::ColumnNotFound(name) => return format!("a column is not found: {name}"),
        PolarsError::SchemaFieldNotFound(name) => return format!("a field is not found: {name}"),
        PolarsError::IO { error, .. } => return format!("a file can't be read or written: {}", error.kind()),
        PolarsError::ComputeError(text) if text.starts_with(UNSUPPORTED) => {
            "the file uses an encoding or a feature of Parquet that is not supported: write it with other options"
        }
        PolarsError::ComputeError(text) if text.starts_with(INVALID) => {
            "the file does not follow the specification of Parquet"
        }
        PolarsError::ComputeError(_) => "a value can't be read, converted or calculated",
        PolarsError::InvalidOperation(_) => "an operation does not suit a column or one of its values",
        PolarsError::SchemaMismatch(_) => "a column is not of the type that was expected",
        PolarsError::ShapeMismatch(_) => "columns have different lengths",
        PolarsError::OutOfBounds(_) => "an index is beyond the end",
        PolarsError::NoData(_) => "there is no data",
        PolarsError::Duplicate(_) => "two columns have one name",
        _ => "polars failed",
    };
    kind.to_owned()
}

/// Whether an error is about a Parquet file that lacks no part, but can't be read. [`polars`] then names the cause.
pub(crate) fn is_about_parquet(error: &PolarsError) -> bool {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => is_about_parquet(error),
        PolarsError::ComputeError(text) => text.starts_with(UNSUPPORTED) || text.starts_with(INVALID),
        _ => false,
    }
}

/// Returns a text that says whether a task panicked or was aborted. The text leaves out the message of a panic, which
/// may hold a value of a row.
pub(crate) fn task_failure(error: &JoinError) -> &'static str {
    if error.is_panic() { "a task panicked" } else { "a task was aborted" }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn panics() {
        panic!("secret")
    }

    #[tokio::test]
    async fn no_error_text_repeats_a_value_of_a_row() {
        let errors = [
            PolarsError::ComputeError("conversion failed: [\"secret\"]".into()),
            PolarsError::SchemaMismatch("found value of type String: secret".into()),
            PolarsError::InvalidOperation("secret".into()),
        ];
        for (text, kind) in [(UNSUPPORTED, "not supported"), (INVALID, "specification")] {
            let error = PolarsError::ComputeError(format!("{text}: secret").into());
            assert!(polars(&error).contains(kind) && !polars(&error).contains("secret"));
        }
        for error in errors {
            assert!(error.to_string().contains("secret"));
            let kept = polars(&error.context("secret".into()));
            assert!(!kept.contains("secret") && kept.len() > 20, "{kept}");
        }
        assert!(polars(&PolarsError::ColumnNotFound("price".into())).contains("price"));
        let died = tokio::spawn(panics()).await.unwrap_err();
        assert!(died.to_string().contains("secret") && !task_failure(&died).contains("secret"));
    }
}
