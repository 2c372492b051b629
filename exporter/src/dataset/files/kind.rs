//! The kinds of files that datasets may have.

/// The format of the files of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Apache Parquet, with any compression.
    Parquet,
    /// Text with a header, and this byte between its fields.
    Csv(u8),
    /// NDJSON: one JSON object on each line.
    Ndjson,
    /// Arrow IPC, in the file format or the stream format.
    Arrow,
}

impl FileKind {
    /// Returns the kind of a file, by the extension of its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let extension = name.rsplit('.').next()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv(b','),
            "tsv" => Self::Csv(b'\t'),
            "ndjson" | "jsonl" => Self::Ndjson,
            "arrow" | "ipc" | "feather" | "arrows" => Self::Arrow,
            _ => return None,
        })
    }
}
