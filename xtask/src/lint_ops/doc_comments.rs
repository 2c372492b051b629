//! Doc comments of Rust and TypeScript: each says more than the name that it belongs to.
//!
//! A comment of three words repeats the name of its item. The item then needs a sentence with its purpose, unit or
//! errors, or is `pub(crate)` and needs no comment.

use anyhow::Result;

use super::{Context, files, none};

/// A comment with at most this number of words is refused.
const TOO_SHORT: usize = 3;

/// Finds doc comments of at most [`TOO_SHORT`] words.
pub(super) fn doc_comments(context: &Context<'_>) -> Result<()> {
    let mut findings = Vec::new();
    for path in files::below(context.root(), |path| files::has_extension(path, &["rs", "ts", "tsx"]))? {
        let text = files::text(&path)?;
        let comments = if files::has_extension(&path, &["rs"]) { rust(&text) } else { typescript(&text) };
        for (line, comment) in comments.into_iter().filter(|(_, comment)| is_short(comment)) {
            findings.push(format!(
                "{}:{line}: the doc comment \"{}\" has {TOO_SHORT} words or fewer: say the purpose, the unit or the errors, or make the item pub(crate) without a comment",
                context.short(&path),
                comment.trim()
            ));
        }
    }
    none(&findings)
}

fn is_short(comment: &str) -> bool {
    comment.split_whitespace().count() <= TOO_SHORT
}

/// The doc comments of a Rust file with the numbers of their first lines.
pub(super) fn rust(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut before = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!"].into_iter().find(|marker| line.starts_with(marker));
        if let Some(marker) = marker {
            if before != Some(marker) {
                found.push((index + 1, String::new()));
            }
            if let Some((_, comment)) = found.last_mut() {
                comment.push_str(&line[marker.len()..]);
                comment.push('\n');
            }
        }
        before = marker;
    }
    found
}

/// The doc comments of a TypeScript file with the numbers of their first lines.
fn typescript(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (line, first) = match line.strip_prefix("/**") {
            Some(rest) if open.is_none() => (rest, true),
            _ => (line, false),
        };
        if first {
            open = Some((index + 1, String::new()));
        }
        let Some((_, comment)) = &mut open else { continue };
        let content = line.split("*/").next().unwrap_or_default();
        comment.push_str(if first { content } else { content.trim_start_matches('*') });
        comment.push('\n');
        if line.contains("*/") {
            found.extend(open.take());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(comments: Vec<(usize, String)>) -> Vec<usize> {
        comments.into_iter().filter(|(_, comment)| is_short(comment)).map(|(line, _)| line).collect()
    }

    #[test]
    fn short_comments_of_rust_are_found_by_their_first_line() {
        let text = "//! A short file.\n\n/// The time\n///\n/// limit.\npub a: u8,\n/// The time limit in seconds.\npub b: u8,\n// no doc\n    /// Why.\n";
        assert_eq!(short(rust(text)), [1, 3, 10]);
    }

    #[test]
    fn short_comments_of_typescript_are_found_on_one_line_and_on_several() {
        let text = "/** Stops it. */\nstop(): void {\n/**\n * Frees\n * the disk.\n */\n  /** Writes the rows\n   * to the file. */\nconst glob = \"a/**/*.ts\"; // no doc\n";
        assert_eq!(short(typescript(text)), [1, 3]);
    }
}
