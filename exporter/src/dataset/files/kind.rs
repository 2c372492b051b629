//! The file formats that datasets can read.

/// The format of the files of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Apache Parquet, with any compression.
    Parquet,
    /// CSV or TSV with a header; this byte is the delimiter.
    Csv(u8),
    /// NDJSON: one JSON object on each line.
    Ndjson,
    /// Arrow IPC, in the file format or the stream format.
    Arrow,
}

impl FileKind {
    /// Returns the format of a file by its extension; None for an unknown extension.
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
