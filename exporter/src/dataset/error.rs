//! Errors of datasets. Each error has a text for logs and a text for the owner of the export. Neither text contains a
//! value of a row.

use std::{sync::Arc, time::Duration};

use polars::prelude::PolarsError;
use sea_orm::DbErr;

use super::{redact, sql};

/// An error that occurs when a dataset is read. Its `Display` text goes to logs and dead letters, and therefore
/// contains no value of a row.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A query or the catalog file names a column that the source does not have, or that the caller may not use. The
    /// text is the name of the column.
    #[error(
        "there is no column `{0}` any more: leave it out of the request, or ask the operator to update the catalog"
    )]
    NoColumn(String),
    /// A file of the dataset lacks the column of this name.
    #[error("it has no column `{0}`: write the column into all files, or declare only columns that all files have")]
    MissingColumn(String),
    /// The database has no table of this name.
    #[error("there is no table `{0}`: correct the name in `table` of the catalog")]
    NoTable(String),
    /// A column of the source has a type that neither filters nor export formats support.
    #[error("column `{column}` is of the unsupported type {dtype}: write it as another type, such as text")]
    Unsupported {
        /// The name of the unsupported column.
        column: String,
        /// The type of the column, as polars or Arrow names it.
        dtype: String,
    },
    /// The query has no value for the parameter of this name, or a value of another type than the declared type.
    #[error(
        "parameter `{0}` has no value, or one that is not of its declared type: `GET /v1/datasets` lists the types"
    )]
    Param(String),
    /// The source has a value that the type of the column can't hold.
    #[error("column `{column}`: {detail}")]
    Value {
        /// The name of the column.
        column: String,
        /// The reason why the value does not fit. The text does not repeat the value.
        detail: &'static str,
    },
    /// A row of SQLite has a value that the type of its column can't hold unchanged.
    #[error(
        "dataset `{dataset}`, column `{column}`, row {row} of the export: the source stores {found}, which {expected} can't hold unchanged; \
         {}",
        advice(found)
    )]
    Stored {
        /// The name of the dataset.
        dataset: String,
        /// The name of the column.
        column: String,
        /// The position of the row, from 1, among the rows that pass the filter. If the row itself does not pass, the
        /// number of earlier rows that passed, plus one.
        row: u64,
        /// The kind of the stored value, such as `a BLOB`. The text does not repeat the value.
        found: &'static str,
        /// The type of the column in words, such as `a column of whole numbers`.
        expected: &'static str,
    },
    /// The database sorted the rows by the spellings of the values in the column of this name, and not by the values.
    /// For example, a column of SQLite may have timestamps with a `T` between date and time, and others with a space.
    #[error(
        "column `{0}` has values in spellings that its database sorts in another order than their values: write them in one \
         spelling, or leave the column out of `order`"
    )]
    Unsorted(String),
    /// A column has more levels of nested lists, maps and records than Sluice reads.
    #[error(
        "column `{column}` is nested {depth} levels deep, and at most 32 are read: flatten it, or store it as text"
    )]
    TooDeep {
        /// The name of the column, or of the member of a JSON object.
        column: String,
        /// The number of lists, maps and records around the deepest value that was found.
        depth: usize,
    },
    /// The source sent malformed bytes, such as a damaged page of a Parquet file. The text names the damage.
    #[error("malformed data: {0}: try again later, or ask the operator to check the source")]
    Garbled(&'static str),
    /// A file uses a feature of its format that Sluice does not support. The text names the feature.
    #[error("{0}")]
    Lacking(&'static str),
    /// An error in one column of a file.
    #[error("column `{column}`: {source}")]
    InColumn {
        /// The name of the column.
        column: String,
        /// The error that occurred in this column. Its own text does not name the column.
        source: Box<DatasetError>,
    },
    /// A part of a file exceeds a size limit of the exporter. The text names the part and the limit.
    #[error("{0}")]
    Limit(&'static str),
    /// A row of a CSV or TSV file has more or fewer fields than the header.
    #[error(
        "a row has {found} field{}, and the header has {expected}: write as many fields in each row as in the header, and a \
         field that contains the delimiter between quotes",
        if *found == 1 { "" } else { "s" }
    )]
    Fields {
        /// The number of fields of the row.
        found: u64,
        /// The number of fields of the header.
        expected: u64,
    },
    /// A CSV or TSV file has no header line, or no NDJSON file of a dataset has an object.
    #[error("it is empty")]
    Empty,
    /// The NDJSON files of a dataset have objects, but no object has a member.
    #[error("its objects have no members, and so it has no columns: write members, or declare the columns")]
    NoMembers,
    /// A file or table has the column of this name. The dataset does not offer this column, because the column is newer
    /// than the loaded catalog.
    #[error("it has the new column `{0}`, which is offered after the next load of the catalog; or declare the columns")]
    NewColumn(String),
    /// A value does not fit the type that the exporter guessed for the column of this name when it loaded the catalog.
    /// The file that has the value is newer than the loaded catalog.
    #[error(
        "column `{0}`: a value is not of the type that was guessed from the earlier rows; the type is guessed again at the \
         next load of the catalog; or declare the columns"
    )]
    BrokenGuess(String),
    /// The exporter can't read the files of a dataset as they are. For example, it can't determine their delimiter, or
    /// their columns differ. The text says what the catalog file must declare, or how to change the files.
    #[error("{0}")]
    Undeclared(String),
    /// The exporter is still scanning the files to guess the types of their columns. The dataset is offered after the
    /// scan.
    #[error(
        "its files are still being read for the types of their columns, and it is offered after that; declare its columns \
         to offer it at once"
    )]
    Scanning,
    /// The error of a background scan that guesses the types of columns. All callers that waited for this scan share
    /// the error.
    #[error(transparent)]
    Shared(Arc<DatasetError>),
    /// The source did not answer within this timeout.
    #[error("the source did not answer within {} s: try again later, or ask the operator", .0.as_secs())]
    Slow(Duration),
    /// The database refused a statement, or the connection broke.
    #[error("database: {}", sql::log_message(.0))]
    Db(#[from] DbErr),
    /// polars failed to read a file or to compute a column.
    #[error("{}", redact::polars(.0))]
    Polars(#[from] PolarsError),
    /// No file exists at this location.
    #[error("there is no file at {0}")]
    NoFile(String),
    /// A file was modified while the exporter read it, so the rows may come from two versions of the file.
    #[error("its file was written while it was read: files are replaced by renaming others over them")]
    Rewritten,
    /// The column of this name has another type in one file than in the first file of the dataset, or than at the time
    /// when the catalog was loaded.
    #[error(
        "column `{0}` is of another type than in the first file, or than when the catalog was loaded: write the column with one type in all files"
    )]
    Changed(String),
    /// A value in one file is too large, or has too many digits, for the type that the column of this name has in the
    /// dataset.
    #[error(
        "column `{0}`: a value is too large or has too many digits for the type that holds the values of the other files, or for \
         the type when the catalog was loaded: write the column with one type in all files"
    )]
    DoesNotFit(String),
    /// The catalog was loaded without one column, because a file lacked the column or had it in an unusable type. That
    /// file has changed since then, so the column may now be usable.
    #[error("its files have changed since the catalog was loaded, and the catalog is loaded again")]
    Repaired,
    /// A database table no longer has the column of this name, or the column has another type than at the time when the
    /// catalog was loaded.
    #[error(
        "column `{0}` of its table was dropped or has another type than when the catalog was loaded, and the catalog is loaded again"
    )]
    Altered(String),
    /// A remote file is too large to be copied to the local disk. The number is the maximum size of a copy, in bytes.
    #[error("a file has more than {0} bytes, which is the most that is copied")]
    TooLarge(u64),
    /// An error in one row of a database.
    #[error("row {row} of the export: {source}")]
    AtRow {
        /// The number of the row in the export, from 1.
        row: u64,
        /// The error that occurred in this row. Its own text does not state the row.
        source: Box<DatasetError>,
    },
    /// An error on one line of a text file.
    #[error("line {line}: {source}")]
    AtLine {
        /// The number of the line, from 1.
        line: u64,
        /// The error that occurred on this line. Its own text does not state the line.
        source: Box<DatasetError>,
    },
    /// An error in one file of a dataset.
    #[error("{file}: {source}")]
    InFile {
        /// The name of the file, without its folder.
        file: String,
        /// The error that occurred in this file. Its own text does not name the file.
        source: Box<DatasetError>,
    },
    /// A file is not valid CSV, or the operating system failed to read it.
    #[error("{0}")]
    Csv(#[from] ::csv::Error),
    /// The object store failed to list or to return objects.
    #[error("{0}")]
    Objects(#[from] object_store::Error),
    /// The HTTP endpoint did not answer, or answered with an error status.
    #[error("{0}")]
    Http(#[source] Box<reqwest::Error>),
    /// The operating system failed to open or read a file.
    #[error("file: {0}")]
    Io(#[from] std::io::Error),
    /// The task that reads the source panicked or was aborted.
    #[error("the source stopped in the middle: {}", redact::task_failure(.0))]
    Died(#[from] tokio::task::JoinError),
}

/// The value of the field `found` in [`DatasetError::Stored`] for a SQLite text whose bytes are not UTF-8.
pub(super) const BROKEN_TEXT: &str = "a text that is not UTF-8";
/// The value of the field `found` in [`DatasetError::Stored`] for a timestamp with a time zone in a column of
/// timestamps without time zones.
pub(super) const ZONED: &str =
    "a moment with a time zone (a text with an offset or `Z`, or a number, which counts from a moment in UTC)";

/// Returns advice to the owner of a SQLite database about a stored value that an export refuses. `found` is the kind of
/// the value, as in [`DatasetError::Stored`].
fn advice(found: &str) -> &'static str {
    match found {
        BROKEN_TEXT => "correct the text, or store its bytes as a BLOB",
        ZONED => {
            "leave out `local = true` if the catalog declares it for the column, and otherwise store all moments of the \
             column with a time zone, or all without one; or declare the column as `type = \"string\"` to export every \
             value as its exact text"
        }
        _ => "correct the value, or declare the column as `type = \"string\"` to export every value as its exact text",
    }
}

/// The text for the owner of the export if a file of the dataset is missing.
const FILE_GONE: &str = "its file is no longer there: ask the operator to restore it, or to update the catalog";
/// The text for the owner of the export if a file of the dataset exists, but can't be read.
const FILE_UNREADABLE: &str = "its file can't be read: ask the operator, whose log has the cause";

impl DatasetError {
    /// Returns this error with the name of the file in which it occurred. `file` is the path, key or URL of the file.
    /// The error keeps only the last part of the path, without the query of a URL.
    pub(crate) fn in_file(self, file: &str) -> Self {
        // the text shows neither the folder nor the query of a URL
        let path = file.split('?').next().unwrap_or(file);
        Self::InFile { file: path.rsplit('/').next().unwrap_or(path).to_owned(), source: Box::new(self) }
    }

    /// Returns this error with the number, from 1, of the row of the export in which it occurred.
    pub(super) fn at_row(self, row: u64) -> Self {
        match self {
            Self::Value { .. } | Self::Unsorted(_) => Self::AtRow { row, source: Box::new(self) },
            other => other,
        }
    }

    /// Returns this error with the number, from 1, of the line on which it occurred.
    pub(crate) fn at_line(self, line: u64) -> Self {
        Self::AtLine { line, source: Box::new(self) }
    }

    /// Returns this error with the name of its column, if it is about the bytes of a file: [`Self::Garbled`],
    /// [`Self::Lacking`] or [`Self::Polars`]. Returns any other error unchanged.
    pub(super) fn in_column(self, column: &str) -> Self {
        match self {
            Self::Garbled(_) | Self::Lacking(_) | Self::Polars(_) => {
                Self::InColumn { column: column.to_owned(), source: Box::new(self) }
            }
            other => other,
        }
    }

    /// Returns the text for the operator, about an error that occurred when the catalog was loaded. The text names the
    /// cause, and what to do.
    pub(crate) fn operator_message(&self) -> String {
        match self {
            Self::Db(e) => sql::operator_message(e),
            other => other.to_string(),
        }
    }

    /// Returns the text for the owner of the export. The text names the cause, but neither the location of the source
    /// nor a value of a row.
    #[must_use]
    pub fn user_message(&self) -> String {
        let words = match self {
            Self::InFile { file, source } => return format!("{file}: {}", source.user_message()),
            Self::AtLine { line, source } => return format!("line {line}: {}", source.user_message()),
            Self::AtRow { row, source } => return format!("row {row} of the export: {}", source.user_message()),
            Self::InColumn { column, source } => return format!("column `{column}`: {}", source.user_message()),
            Self::Shared(error) => return error.user_message(),
            Self::NoTable(_) => "its table is no longer there: ask the operator to update the catalog",
            Self::Db(e) => return sql::user_message(e),
            Self::NoFile(_) | Self::Objects(object_store::Error::NotFound { .. }) => FILE_GONE,
            Self::Io(e) if e.kind() == std::io::ErrorKind::NotFound => FILE_GONE,
            Self::Http(e) if e.status().is_some_and(|status| matches!(status.as_u16(), 404 | 410)) => FILE_GONE,
            Self::Io(_) => FILE_UNREADABLE,
            Self::Objects(_) | Self::Http(_) => {
                "the server that has its files does not answer as it should: try again later, or ask the operator"
            }
            Self::Csv(e) if e.is_io_error() => FILE_UNREADABLE,
            Self::Polars(PolarsError::IO { .. }) => FILE_UNREADABLE,
            Self::Polars(e) if redact::names_cause(e) => return redact::polars(e),
            Self::Polars(_) => {
                "a value of its source can't be read, or its content has changed: ask the operator, whose log has the cause"
            }
            Self::Died(_) => "its source stopped in the middle: try again later, or ask the operator",
            Self::NoColumn(_)
            | Self::MissingColumn(_)
            | Self::Unsupported { .. }
            | Self::Param(_)
            | Self::Value { .. }
            | Self::Stored { .. }
            | Self::Unsorted(_)
            | Self::TooDeep { .. }
            | Self::Garbled(_)
            | Self::Lacking(_)
            | Self::Limit(_)
            | Self::Fields { .. }
            | Self::Empty
            | Self::NoMembers
            | Self::NewColumn(_)
            | Self::BrokenGuess(_)
            | Self::Undeclared(_)
            | Self::Scanning
            | Self::Slow(_)
            | Self::Changed(_)
            | Self::Altered(_)
            | Self::DoesNotFit(_)
            | Self::Repaired
            | Self::Rewritten
            | Self::TooLarge(_)
            | Self::Csv(_) => return self.to_string(),
        };
        words.to_owned()
    }

    /// Whether the error shows that the files of the dataset have changed since the catalog was loaded, and no longer
    /// fit the catalog.
    pub(super) fn is_newer(&self) -> bool {
        match self {
            Self::InFile { source, .. }
            | Self::AtLine { source, .. }
            | Self::AtRow { source, .. }
            | Self::InColumn { source, .. } => source.is_newer(),
            Self::Shared(error) => error.is_newer(),
            Self::NewColumn(_) | Self::BrokenGuess(_) | Self::Changed(_) | Self::DoesNotFit(_) | Self::Repaired => true,
            _ => false,
        }
    }

    /// Whether the error is an outage of the source: the source is unavailable, or its database has no disk space. The
    /// same query can succeed after the outage. A full disk of the exporter is not an outage of the source;
    /// `JobError::outage` detects a full disk of the exporter.
    #[must_use]
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::InFile { source, .. }
            | Self::AtLine { source, .. }
            | Self::AtRow { source, .. }
            | Self::InColumn { source, .. } => source.is_outage(),
            Self::Shared(error) => error.is_outage(),
            // a query that writes fails with the same code as a query on a standby, but is no outage of its source
            Self::Db(e) => entity::is_outage(e) && sql::is_transient(e),
            Self::Objects(e) => matches!(e, object_store::Error::Generic { .. }),
            Self::Http(e) => !e.is_status() || e.status().is_some_and(|s| s.is_server_error()),
            Self::Slow(_) => true,
            _ => false,
        }
    }

    /// Whether a retry of the same query may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InFile { source, .. }
            | Self::AtLine { source, .. }
            | Self::AtRow { source, .. }
            | Self::InColumn { source, .. } => source.is_transient(),
            Self::Shared(error) => error.is_transient(),
            Self::NoTable(_) | Self::NoFile(_) | Self::TooLarge(_) => false,
            Self::Lacking(_) | Self::Limit(_) | Self::Fields { .. } | Self::Undeclared(_) => false,
            Self::Empty | Self::NoMembers => false,
            Self::Csv(e) => e.is_io_error(),
            Self::Objects(e) => !matches!(e, object_store::Error::NotFound { .. }),
            Self::Http(e) => !e.is_status() || e.status().is_some_and(|s| s.is_server_error()),
            Self::NoColumn(_) | Self::Unsupported { .. } => false,
            Self::Param(_) | Self::Value { .. } => false,
            Self::Stored { .. } | Self::Unsorted(_) => false,
            Self::TooDeep { .. } => false,
            Self::Db(e) => sql::is_transient(e),
            Self::Garbled(_) | Self::Rewritten | Self::Slow(_) | Self::Polars(_) | Self::Io(_) | Self::Died(_) => true,
            // the next attempt may find a newer catalog
            Self::Scanning | Self::NewColumn(_) | Self::BrokenGuess(_) => true,
            Self::Changed(_) | Self::DoesNotFit(_) | Self::Repaired | Self::Altered(_) | Self::MissingColumn(_) => true,
        }
    }
}
