//! Writes single fields of CSV and TSV. Quotes a field if the syntax requires quotes. If the style of the file is for
//! spreadsheets, also writes a field so that a spreadsheet neither changes nor evaluates it.

use crate::{layout::Quoting, number::SPREADSHEET_DIGITS};

/// The delimiter, the quoting rule and the text for NULL of a CSV or TSV file.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quoting: Quoting,
    /// The text for NULL, which is never quoted. A text value with the same bytes is quoted.
    pub(super) null: Vec<u8>,
}

/// Appends a text value in the default style of the `machine` profile. The value has quotes only if [`needs_quotes`]
/// requires them.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], delimiter: u8) {
    if needs_quotes(bytes, delimiter) { quoted(out, bytes) } else { out.extend_from_slice(bytes) }
}

impl Dialect {
    /// Appends a text value, quoted by the rule of this dialect.
    pub(super) fn text(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::Minimal && bytes != self.null {
            text(out, bytes, self.delimiter);
        } else {
            quoted(out, bytes);
        }
    }

    /// Appends the title of a column:
    /// - If `guard` is true, an apostrophe precedes a title that a spreadsheet would evaluate as a formula. Titles are
    ///   quoted by the rule of this dialect, and `quotes` has no effect.
    /// - If `guard` is false and `quotes` is true, every title is quoted.
    /// - If both are false, titles are quoted by the rule of this dialect.
    pub(super) fn title(&self, out: &mut Vec<u8>, bytes: &[u8], guard: bool, quotes: bool) {
        if quotes && !guard {
            quoted(out, bytes);
        } else {
            self.safe_text(out, bytes, guard, false);
        }
    }

    /// Appends a number, a date, a time or the word for true or false, quoted by the rule of this dialect.
    pub(super) fn value(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::All || bytes == self.null || needs_quotes(bytes, self.delimiter) {
            quoted(out, bytes);
        } else {
            out.extend_from_slice(bytes);
        }
    }

    /// Appends digits as the formula `="…"`. A CSV file has no types, and only such a formula makes a spreadsheet treat
    /// digits as text.
    pub(super) fn digits(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(b"\"=\"\"");
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\"\"\"");
    }

    /// Appends text for a spreadsheet. If `digits` is true, digits that a spreadsheet would change become a formula
    /// ([`Self::digits`]). If `guard` is true, an apostrophe precedes text that a spreadsheet would evaluate as a
    /// formula. [`Self::text`] writes any other text.
    pub(super) fn safe_text(&self, out: &mut Vec<u8>, bytes: &[u8], guard: bool, digits: bool) {
        if digits && drops_digits(bytes) {
            return self.digits(out, bytes);
        }
        if guard && begins_like_a_formula(bytes) {
            let guarded = [b"'", bytes].concat();
            return self.text(out, &guarded);
        }
        self.text(out, bytes);
    }
}

/// Whether a value consists of digits that a spreadsheet would change, because it rounds long numbers and drops leading
/// zeros.
fn drops_digits(bytes: &[u8]) -> bool {
    let long = bytes.len() > SPREADSHEET_DIGITS || (bytes.len() > 1 && bytes[0] == b'0');
    long && bytes.iter().all(u8::is_ascii_digit)
}

fn begins_like_a_formula(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

/// Whether a field needs quotes. Quotes are necessary for:
/// - an empty field, because an empty field without quotes is NULL;
/// - a field with a special byte ([`has_special`]);
/// - a field that begins or ends with white space, which many readers remove from fields without quotes;
/// - a field that begins with a byte order mark, which readers remove at the start of a file;
/// - `\.`, which ends the input of PostgreSQL, and `\N`, which is NULL to PostgreSQL, MySQL and ClickHouse.
#[inline]
fn needs_quotes(bytes: &[u8], delimiter: u8) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    let is_edge = |byte: u8| byte <= b' ' || byte >= 0x80;
    has_special(bytes, delimiter)
        || ((is_edge(*first) || is_edge(*last)) && has_space_at_an_edge(bytes))
        || matches!(bytes, b"\\." | b"\\N")
}

/// Whether a text begins or ends with Unicode white space, or begins with a byte order mark. Returns true for bytes
/// that are not UTF-8.
#[cold]
fn has_space_at_an_edge(bytes: &[u8]) -> bool {
    // never happens, because all fields, titles and literals of date patterns are UTF-8
    let Ok(text) = str::from_utf8(bytes) else { return true };
    text.starts_with(|c: char| c.is_whitespace() || c == '\u{feff}') || text.ends_with(char::is_whitespace)
}

/// Whether a field contains a delimiter, a quote, a line end or `#`. Some readers start a comment at a `#`, even in the
/// middle of a field. The function tests sixteen bytes at once, without a branch for each byte.
#[inline]
fn has_special(bytes: &[u8], delimiter: u8) -> bool {
    let special = |byte: u8| byte == delimiter || byte == b'"' || byte == b'\n' || byte == b'\r' || byte == b'#';
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        if block.iter().fold(false, |found, byte| found | special(*byte)) {
            return true;
        }
    }
    blocks.remainder().iter().fold(false, |found, byte| found | special(*byte))
}

/// Appends a field in quotes, with each quote inside the field doubled.
#[cold]
fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
