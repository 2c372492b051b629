//! What a person reads: results on standard output, everything else on standard error.

use std::io::{self, Write};

use serde::Serialize;

/// Writes lines to standard output.
///
/// # Errors
/// When nobody reads them any more.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a value to standard output as JSON, indented.
///
/// # Errors
/// When nobody reads it any more.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Writes one line about what is going on to standard error.
pub fn note(text: &str) {
    // when standard error is gone there is nobody left to tell
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Writes a failure to standard error: one line, whatever the text holds.
pub fn error(text: &str) {
    note(&format!("sluice: {}", one_line(text)));
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// A number with a comma after each three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A word as a shell reads it: quoted only where it must be.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_for_people_and_shells() {
        assert_eq!(one_line("not valid:\n  /filter: no\n"), "not valid:; /filter: no");
        assert_eq!([grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(shell_word("target/debug/sluice"), "target/debug/sluice");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }
}
