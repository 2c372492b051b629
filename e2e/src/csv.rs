//! Parses an exported CSV file into its envelope and its table.

use protocol::time::Timestamp;

/// An exported CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The time of the request, from the first line.
    pub requested_at: Timestamp,
    /// The header line of the table.
    pub header: &'a str,
    /// The lines of the table.
    pub rows: Vec<&'a str>,
    /// The number of rows, as the file states it.
    pub row_count: usize,
    /// The time of completion, from the last line.
    pub completed_at: Timestamp,
}

/// Parses a file.
///
/// # Panics
/// When a line of the envelope is missing or invalid.
#[must_use]
pub fn parse(file: &[u8]) -> Envelope<'_> {
    let text = std::str::from_utf8(file).expect("an exported CSV file is UTF-8");
    let mut lines: Vec<&str> =
        text.strip_suffix('\n').expect("the last line ends with a newline").split('\n').collect();
    let last = |lines: &mut Vec<&str>, key: &str| comment(lines.pop().expect("a line"), key).to_owned();
    let completed_at = timestamp(&last(&mut lines, "export_completed_at"));
    let row_count = last(&mut lines, "export_rows").parse().expect("a number of rows");
    let requested_at = timestamp(comment(lines[0], "export_requested_at"));
    Envelope { requested_at, header: lines[1], rows: lines.split_off(2), row_count, completed_at }
}

fn comment<'a>(line: &'a str, key: &str) -> &'a str {
    let value = line.strip_prefix("# ").and_then(|l| l.strip_prefix(key)).and_then(|l| l.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("expected `# {key}: …`, got `{line}`"))
}

fn timestamp(text: &str) -> Timestamp {
    let timestamp: Timestamp = text.parse().unwrap_or_else(|e| panic!("`{text}` is no timestamp: {e}"));
    assert_eq!(timestamp.to_string(), text, "timestamps have milliseconds and end with Z");
    timestamp
}
