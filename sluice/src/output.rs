//! Output for users: results on standard output, everything else on standard error.

use std::io::{self, Write};

use serde::Serialize;

/// Prints text and a line break to standard output.
///
/// # Errors
/// When standard output is closed.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints a value to standard output as indented JSON.
///
/// # Errors
/// When standard output is closed.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a message to standard error.
pub fn note(text: &str) {
    // if standard error is closed, the message is lost
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a failure to standard error, as one line.
pub fn error(text: &str) {
    note(&format!("sluice: {}", one_line(text)));
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// Formats a number with a comma between groups of three digits.
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

/// Quotes a word for a shell, if the word needs quotes.
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
    fn lines_numbers_and_words_are_formatted() {
        assert_eq!(one_line("not valid:\n  /filter: no\n"), "not valid:; /filter: no");
        assert_eq!([grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(shell_word("target/debug/sluice"), "target/debug/sluice");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }
}
