//! One field: quoted where it must be, and made safe for spreadsheets where the style asks for it.

use crate::{format::number::SPREADSHEET_DIGITS, layout::Quoting};

/// The syntax of fields.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quoting: Quoting,
    /// The unquoted text for NULL; a text value with the same bytes is quoted.
    pub(super) null: Vec<u8>,
}

/// Appends text in the `machine` profile, quoted where it must be.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], delimiter: u8) {
    if bytes.is_empty() || has_special(bytes, delimiter) { quoted(out, bytes) } else { out.extend_from_slice(bytes) }
}

impl Dialect {
    /// Appends text, quoted as the dialect asks.
    pub(super) fn text(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::Minimal && bytes != self.null {
            text(out, bytes, self.delimiter);
        } else {
            quoted(out, bytes);
        }
    }

    /// Appends a number, a date or a word, quoted as the dialect asks.
    pub(super) fn value(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::All || bytes == self.null || bytes.is_empty() || has_special(bytes, self.delimiter)
        {
            quoted(out, bytes);
        } else {
            out.extend_from_slice(bytes);
        }
    }

    /// Appends digits that a spreadsheet keeps as text: the formula of a constant, `="…"`, is the only way in a file
    /// without types.
    pub(super) fn digits(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(b"\"=\"\"");
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\"\"\"");
    }

    /// Appends text so that a spreadsheet neither evaluates it as a formula (`guard`) nor drops digits (`digits`).
    pub(super) fn safe_text(&self, out: &mut Vec<u8>, bytes: &[u8], guard: bool, digits: bool) {
        if digits && drops_digits(bytes) {
            return self.digits(out, bytes);
        }
        if guard && looks_like_a_formula(bytes) {
            let guarded = [b"'", bytes].concat();
            return self.text(out, &guarded);
        }
        self.text(out, bytes);
    }
}

/// Whether a spreadsheet would drop some of these digits: too many digits, or leading zeros.
fn drops_digits(bytes: &[u8]) -> bool {
    let long = bytes.len() > SPREADSHEET_DIGITS || (bytes.len() > 1 && bytes[0] == b'0');
    long && bytes.iter().all(u8::is_ascii_digit)
}

fn looks_like_a_formula(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

/// Whether a field has a byte with a meaning in the syntax, tested in blocks of sixteen bytes. `#` is one of them:
/// readers that support comments differ in where a comment may begin, and some cut `a#b` in two.
#[inline]
pub(super) fn has_special(bytes: &[u8], delimiter: u8) -> bool {
    let special = |byte: u8| byte == delimiter || byte == b'"' || byte == b'\n' || byte == b'\r' || byte == b'#';
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        if block.iter().fold(false, |found, byte| found | special(*byte)) {
            return true;
        }
    }
    blocks.remainder().iter().fold(false, |found, byte| found | special(*byte))
}

/// Appends a field in quotes.
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
