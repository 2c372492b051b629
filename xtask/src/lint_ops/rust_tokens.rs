//! Splits the text of a Rust file into tokens, for checks that must not look into comments and literals.
//!
//! This is no parser of Rust. `xtask` has few dependencies, so that it builds in seconds, and a parser of all of Rust is
//! a large one.

/// Whether a token is a name or a keyword.
pub(super) fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The names and signs of a text with the numbers of their lines, without comments and without literals.
pub(super) fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => literal(rest, '"'),
            'r' if is_raw(rest) => raw_literal(rest),
            '\'' if is_char(rest) => literal(rest, '\''),
            ':' if rest.starts_with("::") => {
                found.push((line, &rest[..2]));
                2
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push((line, &rest[..end]));
                end
            }
            c => {
                if !c.is_whitespace() {
                    found.push((line, &rest[..c.len_utf8()]));
                }
                c.len_utf8()
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of a literal with its quotes, in which a backslash escapes the next character.
fn literal(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == quote {
            return index + c.len_utf8();
        }
    }
    text.len()
}

fn is_raw(text: &str) -> bool {
    let after = text[1..].trim_start_matches('#');
    after.starts_with('"')
}

/// The length of a raw literal such as `r#"…"#`.
fn raw_literal(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let begin = 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin..].find(&end).map_or(text.len(), |found| begin + found + end.len())
}

/// Whether a quote begins a character, and no lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_left_out_and_lines_are_counted() {
        let text = "a // b\n\"c\n\" 'd' r#\"e\"\n\"# 'f g /* h\n */ i::j";
        let expected = [(1, "a"), (4, "'"), (4, "f"), (4, "g"), (5, "i"), (5, "::"), (5, "j")];
        assert_eq!(tokens(text), expected);
    }
}
