//! Checks the syntax of quoted texts, quoted names and comments, as PostgreSQL (`src/backend/parser/scan.l`) and SQLite
//! (`src/tokenize.c`) define it. Each function decides whether the server reads a whole text as one token.

use super::tokens::SqlDialect;

/// Whether a text is exactly one comment.
pub(super) fn is_comment(text: &str, dialect: SqlDialect) -> bool {
    let is_postgres = dialect == SqlDialect::Postgres;
    if text.starts_with("--") {
        return !(text.contains('\n') || is_postgres && text.contains('\r'));
    }
    // PostgreSQL nests comments, and SQLite does not
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(first) = rest.chars().next() {
        let step = if rest.starts_with("/*") && (is_postgres || depth == 0) {
            depth += 1;
            2
        } else if depth == 0 {
            return false;
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            first.len_utf8()
        };
        rest = &rest[step..];
        if depth == 0 {
            return rest.is_empty();
        }
    }
    false
}

/// Whether a text is exactly one quoted text or quoted name.
pub(super) fn is_quoted_token(text: &str, dialect: SqlDialect) -> bool {
    let is_hex = |text: &str| is_between(text, '\'') && text[1..text.len() - 1].bytes().all(|b| b.is_ascii_hexdigit());
    let mut chars = text.chars();
    let (first, second) = (chars.next().unwrap_or_default(), chars.next().unwrap_or_default());
    match (first, second, dialect) {
        ('\'' | '"', ..) => is_between(text, first),
        ('x' | 'X', '\'', _) => is_hex(&text[1..]),
        ('b' | 'B', '\'', SqlDialect::Postgres) => is_hex(&text[1..]),
        // the meaning of a backslash depends on the setting standard_conforming_strings
        ('n' | 'N', '\'', SqlDialect::Postgres) => is_between(&text[1..], '\'') && !text.contains('\\'),
        ('e' | 'E', '\'', SqlDialect::Postgres) => is_escaped(&text[1..]),
        ('u' | 'U', '&', SqlDialect::Postgres) => is_between(&text[2..], '\''),
        ('$', _, SqlDialect::Postgres) => is_dollar_quoted(text),
        ('`', _, SqlDialect::Sqlite) => is_between(text, '`'),
        ('[', _, SqlDialect::Sqlite) => text.find(']') == Some(text.len() - 1),
        _ => false,
    }
}

/// Returns the text between two quotes; None if the text is not in quotes.
fn inner(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

/// Whether a text is in quotes, and each quote within the text is doubled.
fn is_between(text: &str, quote: char) -> bool {
    let Some(inner) = inner(text, quote) else { return false };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == quote && chars.next() != Some(quote) {
            return false;
        }
    }
    true
}

/// Whether a text is in single quotes, and each quote within the text is doubled or has a backslash before it.
fn is_escaped(text: &str) -> bool {
    let Some(inner) = inner(text, '\'') else { return false };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let fits = match c {
            '\\' => chars.next().is_some(),
            '\'' => chars.next() == Some('\''),
            _ => true,
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether a text is in dollar quotes, as in `$$…$$` or `$tag$…$tag$`. The tag with its dollar signs may occur only at
/// the beginning and the end.
fn is_dollar_quoted(text: &str) -> bool {
    let Some(end) = text.get(1..).and_then(|rest| rest.find('$')) else { return false };
    let (quotes, rest) = text.split_at(end + 2);
    let fits =
        |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii() || at > 0 && c.is_ascii_digit();
    quotes[1..=end].char_indices().all(fits) && rest.find(quotes).is_some_and(|at| at + quotes.len() == rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_token_ends_where_each_server_ends_it() {
        use SqlDialect::{Postgres, Sqlite};
        for (text, postgres, sqlite) in [
            ("''", true, true),
            ("'it''s'", true, true),
            ("'it's'", false, false),
            ("'", false, false),
            ("'''", false, false),
            ("'a\\'", true, true),
            ("\"a\"\"b\"", true, true),
            ("E'a\\'b'", true, false),
            ("e'a''b\\\\'", true, false),
            ("E'a\\'", false, false),
            ("U&'\\0041'''", true, false),
            ("N'a'", true, false),
            ("N'a\\'", false, false),
            ("B'01'", true, false),
            ("X'1f'", true, true),
            ("X'1f\\''", false, false),
            ("$$it's$$", true, false),
            ("$a$ $$ $b$ $a$", true, false),
            ("$a$ $a$ $a$", false, false),
            ("$1$ $1$", false, false),
            ("$a$ $b$", false, false),
            ("`a``b`", false, true),
            ("[a'b]", false, true),
            ("[a]]", false, false),
        ] {
            assert_eq!(is_quoted_token(text, Postgres), postgres, "{text}");
            assert_eq!(is_quoted_token(text, Sqlite), sqlite, "{text}");
        }
        for (text, postgres, sqlite) in [
            ("-- a", true, true),
            ("-- a\n", false, false),
            ("-- a\rb", false, true),
            ("/* a */", true, true),
            ("/**/", true, true),
            ("/*/", false, false),
            ("/* /* */", false, true),
            ("/* /* */ */", true, false),
            ("/* a */ b", false, false),
            ("/* a", false, false),
            ("a", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_comment(text, Postgres), postgres, "{text}");
            assert_eq!(is_comment(text, Sqlite), sqlite, "{text}");
        }
    }
}
