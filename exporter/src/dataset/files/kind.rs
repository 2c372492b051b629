//! The file formats that datasets can read.

/// The format of the files of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Apache Parquet, with any compression.
    Parquet,
    /// CSV or TSV with a header.
    Csv(CsvDialect),
    /// NDJSON: one JSON object on each line.
    Ndjson,
    /// Arrow IPC, in the file format or the stream format.
    Arrow,
}

/// The form of CSV files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CsvDialect {
    /// The character between two fields, in ASCII.
    pub delimiter: u8,
    /// Whether the catalog file declares the delimiter. If not, a file that looks as if it had another one is refused.
    pub is_declared: bool,
    /// Which lines before the header are comments.
    pub comments: Comments,
    /// Whether `"` encloses fields. If not, it is an ordinary character.
    pub has_quotes: bool,
}

/// Which lines before the header of a CSV file are comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comments {
    /// Lines that begin with `#`, except for one that is the header.
    Detected,
    /// All lines that begin with `#`.
    Hash,
    /// No line.
    None,
}

impl CsvDialect {
    /// Describes files with this delimiter. Comments are detected.
    #[must_use]
    pub const fn new(delimiter: u8) -> Self {
        Self { delimiter, is_declared: false, comments: Comments::Detected, has_quotes: true }
    }
}

impl FileKind {
    /// Returns the format of a file by its extension; None for an unknown extension.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let extension = name.rsplit('.').next()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv(CsvDialect::new(b',')),
            "tsv" => Self::Csv(CsvDialect::new(b'\t')),
            "ndjson" | "jsonl" => Self::Ndjson,
            "arrow" | "ipc" | "feather" | "arrows" => Self::Arrow,
            _ => return None,
        })
    }

    /// Whether the files are text without types.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Csv(_) | Self::Ndjson)
    }
}
