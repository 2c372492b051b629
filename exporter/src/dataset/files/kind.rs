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

/// The rules by which CSV files are parsed: the delimiter, the comments and the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CsvDialect {
    /// The ASCII character between two fields.
    pub delimiter: u8,
    /// Whether the catalog file declares the delimiter. If it does not, a file that seems to have another delimiter is
    /// refused.
    pub is_declared: bool,
    /// The rule that decides whether leading lines that begin with `#` are comments or the header.
    pub comments: Comments,
    /// Whether `"` encloses fields. If false, `"` is an ordinary character.
    pub has_quotes: bool,
}

/// The rule that decides which lines at the beginning of a CSV file are comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comments {
    /// Leading lines that begin with `#` are comments, but the last of these lines may be the header.
    ///
    /// - The last line is the header if it has as many fields as the next line, and no space after `#`. Without a next
    ///   line, the last line is the header if it has several fields.
    /// - The file is refused if the last line has several fields, as many as the next line, and a space after `#`. Such
    ///   a line may be a comment or the header.
    /// - Otherwise, the last line is a comment.
    Detected,
    /// All leading lines that begin with `#` are comments.
    Hash,
    /// There are no comments. The first line is the header, even if it begins with `#`.
    None,
}

impl CsvDialect {
    /// Returns a dialect with this delimiter, which is treated as not declared. Comments are detected, and `"` encloses
    /// fields.
    #[must_use]
    pub const fn new(delimiter: u8) -> Self {
        Self { delimiter, is_declared: false, comments: Comments::Detected, has_quotes: true }
    }
}

impl FileKind {
    /// Returns the format of a file by the extension of its name; None for an unknown extension.
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

    /// Whether the format is text, which stores no types: CSV or NDJSON.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Csv(_) | Self::Ndjson)
    }
}
