//! Replaces the texts of errors from polars and tokio for logs and dead letters. The original texts may contain values
//! of rows. The new texts contain no values of rows.

use polars::prelude::PolarsError;
use tokio::task::JoinError;

/// Pairs of the beginning of a polars error text about a file, and the cause that Sluice reports for such an error. If
/// the cause is empty, [`ENCODINGS`] gives the cause.
const CAUSES: [(&str, &str); 11] = [
    ("parquet: Not yet supported: Decoding", ""),
    (
        "parquet: Not yet supported",
        "the file uses an encoding or a feature of Parquet that is not supported: write it with other options",
    ),
    (
        "parquet: The feature",
        "the file is compressed with a codec that is not supported: write it with zstd, gzip, snappy or no compression",
    ),
    (
        "parquet: File out of specification: String data contained invalid UTF-8",
        "a text is not UTF-8: write the texts of the column in UTF-8, or the column as binary",
    ),
    ("parquet: File out of specification", "the file does not follow the specification of Parquet, and may be damaged"),
    ("parquet: Operation would exceed", "a page of the file is larger than it may be: write smaller pages"),
    (
        "feather v1 not supported",
        "the file is Feather version 1, which is not supported: write it as Feather version 2 (an Arrow IPC file)",
    ),
    (
        "delta dictionary batches not supported",
        "the file extends a dictionary in several steps, which is not supported: write it with whole dictionaries",
    ),
    ("out-of-spec", "the file does not follow the specification of Arrow, and may be damaged"),
    ("Malformed IPC file", "the file does not follow the specification of Arrow, and may be damaged"),
    ("not yet implemented", "the file uses a feature that is not supported: write it with other options"),
];

/// Parquet encodings that polars supports only for some types. Each pair has the name of an encoding in polars' error
/// texts, and the cause that Sluice reports. The last pair is for all other encodings.
const ENCODINGS: [(&str, &str); 5] = [
    (
        "\"ByteStreamSplit\"",
        "the encoding BYTE_STREAM_SPLIT is not supported for the type of this column: write it with another one",
    ),
    (
        "\"DeltaByteArray\"",
        "the encoding DELTA_BYTE_ARRAY is not supported for the type of this column: write it with another one",
    ),
    (
        "\"DeltaBinaryPacked\"",
        "the encoding DELTA_BINARY_PACKED is not supported for the type of this column: write it with another one",
    ),
    ("\"Rle\"", "the encoding RLE is not supported for the type of this column: write it with another one"),
    ("", "an encoding of the file is not supported for the type of its column: write it with another one"),
];

/// Returns the cause that Sluice reports for the text of a polars error about a file. Returns None if no entry of
/// [`CAUSES`] fits the beginning of the text.
fn cause(text: &str) -> Option<&'static str> {
    match CAUSES.iter().find(|(begin, _)| text.starts_with(begin))? {
        (_, "") => ENCODINGS.iter().find(|(name, _)| text.contains(name)).map(|(_, cause)| *cause),
        (_, cause) => Some(cause),
    }
}

/// Returns a text that describes a polars error and is safe to log. The text names the kind of the error, and possibly
/// its cause or a missing column. The text never has a value of a row.
pub(crate) fn polars(error: &PolarsError) -> String {
    let kind = match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => return polars(error),
        // the texts of these two errors are names of columns
        PolarsError::ColumnNotFound(name) => return format!("a column is not found: {name}"),
        PolarsError::SchemaFieldNotFound(name) => return format!("a field is not found: {name}"),
        PolarsError::IO { error, .. } => return format!("a file can't be read or written: {}", error.kind()),
        PolarsError::ComputeError(text) => cause(text).unwrap_or("a value can't be read, converted or calculated"),
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

/// Whether the text that [`polars`] returns for this error states why a file can't be read.
pub(crate) fn names_cause(error: &PolarsError) -> bool {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => names_cause(error),
        PolarsError::ComputeError(text) => cause(text).is_some(),
        PolarsError::Duplicate(_) => true,
        _ => false,
    }
}

/// Returns a text that states whether a task panicked or was aborted. The text omits the message of a panic, which may
/// hold a value of a row.
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
        for (text, kind) in [
            ("parquet: Not yet supported", "not supported"),
            ("parquet: Not yet supported: Decoding Int32 \"Rle\"-encoded", "the encoding RLE is not supported"),
            ("parquet: Not yet supported: Decoding Int32 \"New\"-encoded", "an encoding of the file is not supported"),
            ("parquet: The feature \"Lz4\" needs to be active", "a codec that is not supported"),
            ("parquet: File out of specification", "specification of Parquet"),
            ("parquet: File out of specification: String data contained invalid UTF-8", "a text is not UTF-8"),
            ("feather v1 not supported", "Feather version 1"),
            ("delta dictionary batches not supported", "whole dictionaries"),
            ("out-of-spec", "specification of Arrow"),
        ] {
            let error = PolarsError::ComputeError(format!("{text}: secret").into());
            assert!(polars(&error).contains(kind) && !polars(&error).contains("secret"), "{}", polars(&error));
            assert!(names_cause(&error.context("secret".into())));
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
