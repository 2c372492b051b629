//! One field: in quotes where it must be, and safe in a spreadsheet where that is wanted.

use crate::format::{number::SPREADSHEET_DIGITS, style::Quoting};

/// What a reader of fields takes for its own.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quoting: Quoting,
    /// Stands for NULL without quotes, so that text of the same bytes has them.
    pub(super) null: Vec<u8>,
}

/// Appends text, quoted when it must be.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], delimiter: u8) {
    if bytes.is_empty() || has_special(bytes, delimiter) { quoted(out, bytes) } else { out.extend_from_slice(bytes) }
}

impl Dialect {
    /// Appends text in any dialect.
    pub(super) fn text(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::Minimal && bytes != self.null {
            text(out, bytes, self.delimiter);
        } else {
            quoted(out, bytes);
        }
    }

    /// Appends a number, a date or a word in any dialect.
    pub(super) fn value(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.quoting == Quoting::All || bytes == self.null || bytes.is_empty() || has_special(bytes, self.delimiter)
        {
            quoted(out, bytes);
        } else {
            out.extend_from_slice(bytes);
        }
    }

    /// Appends digits that a spreadsheet is to keep as text: as the formula of a constant, `="…"`, which is the one way
    /// that a file without types has.
    pub(super) fn digits(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(b"\"=\"\"");
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\"\"\"");
    }

    /// Appends text so that a spreadsheet neither calculates it nor takes digits from it.
    pub(super) fn safe_text(&self, out: &mut Vec<u8>, bytes: &[u8], guard: bool, digits: bool) {
        if digits && is_code(bytes) {
            return self.digits(out, bytes);
        }
        if guard && looks_like_a_formula(bytes) {
            let guarded = [b"'", bytes].concat();
            return self.text(out, &guarded);
        }
        self.text(out, bytes);
    }
}

/// Digits of which a spreadsheet would lose some: too many, or zeros in front.
fn is_code(bytes: &[u8]) -> bool {
    let long = bytes.len() > SPREADSHEET_DIGITS || (bytes.len() > 1 && bytes[0] == b'0');
    long && bytes.iter().all(u8::is_ascii_digit)
}

fn looks_like_a_formula(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

/// Whether a field has a byte that a reader would take for its own. Looks at sixteen bytes at once. Readers that know
/// comments, as the envelope has them, differ in where one may begin: some cut `a#b` in two.
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
