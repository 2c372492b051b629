//! Reads the envelope of an exported file, and its table apart from it.

use protocol::time::Timestamp;

/// An exported CSV file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The header line.
    pub header: &'a str,
    /// The rows, line by line.
    pub rows: Vec<&'a str>,
    /// How many rows the file says it has.
    pub row_count: usize,
    /// When it was done.
    pub completed_at: Timestamp,
}

/// Takes a file apart.
///
/// # Panics
/// When a line of the envelope is missing or says something else.
#[must_use]
pub fn parse(file: &[u8]) -> Envelope<'_> {
    let text = std::str::from_utf8(file).expect("a machine file is UTF-8");
    let mut lines: Vec<&str> = text.strip_suffix('\n').expect("the last line is ended").split('\n').collect();
    let last = |lines: &mut Vec<&str>, key: &str| comment(lines.pop().expect("a line"), key).to_owned();
    let completed_at = moment(&last(&mut lines, "export_completed_at"));
    let row_count = last(&mut lines, "export_rows").parse().expect("a number of rows");
    let requested_at = moment(comment(lines[0], "export_requested_at"));
    Envelope { requested_at, header: lines[1], rows: lines.split_off(2), row_count, completed_at }
}

fn comment<'a>(line: &'a str, key: &str) -> &'a str {
    let value = line.strip_prefix("# ").and_then(|l| l.strip_prefix(key)).and_then(|l| l.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("expected `# {key}: …`, got `{line}`"))
}

fn moment(text: &str) -> Timestamp {
    let at: Timestamp = text.parse().unwrap_or_else(|e| panic!("`{text}` is no time: {e}"));
    assert_eq!(at.to_string(), text, "times have milliseconds and end with Z");
    at
}
