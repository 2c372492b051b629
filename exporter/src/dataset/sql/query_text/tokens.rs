//! Splits a query into tokens, and checks that the server splits the query at the same places.
//!
//! The tokenizer of `sqlparser` finds the tokens. Some of its rules differ from those of PostgreSQL and SQLite. If the
//! server read a parameter as a part of a quoted text, the value of the parameter could end that text and inject SQL.
//! This module therefore compares each token with the server's own rules. A quoted text, a quoted name or a comment
//! must have exactly the form that the server accepts. All other text must contain no character that begins a quoted
//! text, a quoted name or a comment.

use sqlparser::{
    dialect::{Dialect, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    tokenizer::{Location, Token as Parsed, TokenWithSpan, Tokenizer, Whitespace},
};

use super::{
    error::{QueryFault, QueryTextError},
    shapes,
};

/// The SQL dialect of a query, that is, the database that runs the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlDialect {
    Postgres,
    Sqlite,
}

/// The kind of a token. It distinguishes only what the search for parameters needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment,
    /// A word without quotes that may be a keyword.
    Keyword,
    /// A word without quotes that is not a keyword.
    Word,
    /// A name in quotes, which is never a keyword.
    Name,
    Number,
    /// A text in single quotes without a prefix.
    Text,
    /// A text with a prefix such as `E`, or in dollar quotes.
    PrefixedText,
    Colon,
    DoubleColon,
    Semicolon,
    Comma,
    /// An opening parenthesis or bracket.
    Open,
    /// A closing parenthesis or bracket.
    Close,
    Operator,
}

/// A part of the query, with its kind, its text, and its line and column, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) at: (u64, u64),
}

impl Token<'_> {
    /// Whether the token is white space or a comment.
    pub(super) const fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// Whether the server reads the token as a single text, name or comment, no matter which characters the token
    /// contains.
    const fn is_opaque(&self) -> bool {
        matches!(self.kind, Kind::Comment | Kind::Name | Kind::Text | Kind::PrefixedText)
    }

    const fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::PrefixedText)
    }
}

/// Returns the tokens of a query. The concatenated texts of the tokens are the text of the query.
///
/// # Errors
/// When the text can't be read, or the server may read it as other tokens.
pub(super) fn tokens(text: &str, dialect: SqlDialect) -> Result<Vec<Token<'_>>, QueryTextError> {
    let rules: &dyn Dialect = match dialect {
        SqlDialect::Postgres => &PostgreSqlDialect {},
        SqlDialect::Sqlite => &SQLiteDialect {},
    };
    let parsed = Tokenizer::new(rules, text).with_unescape(false).tokenize_with_location();
    let parsed = parsed.map_err(|e| QueryFault::Unreadable(e.message).at(place(e.location)))?;
    let mut found: Vec<Token<'_>> = Vec::with_capacity(parsed.len());
    let mut rest = Rest { text, at: Location { line: 1, column: 1 } };
    for token in &parsed {
        let at = place(token.span.start);
        let slice = rest.take(token).ok_or_else(|| QueryFault::Unsure(OUT_OF_STEP).at(at))?;
        let token = Token { kind: kind(&token.token, slice), text: slice, at };
        check(&token, &found, dialect).map_err(|fault| fault.at(at))?;
        found.push(token);
    }
    if rest.text.is_empty() { Ok(found) } else { Err(QueryFault::Unsure(OUT_OF_STEP).at(place(rest.at))) }
}

const OUT_OF_STEP: &str =
    "the tokens of the query do not add up to its text: put the query into a view, and name the view in `table`";
const COMMENT: &str = "the database may read this comment up to another place: leave it out";
const QUOTED: &str = "the database may read this quoted text or name up to another place, or has no such quotes: write texts as '…' and \
    names as \"…\", without prefixes and backslashes";
const JOINED: &str =
    "a quoted text directly follows a number or a word that may be its prefix: write a space between them";
const CONTINUED: &str = "the database may join two quoted texts that follow each other: write one text, or use `||`";
const CHARACTER: &str =
    "this character belongs to no SQL of this database outside of quotes: leave it out, or quote it";
const COMMENT_IN_OPERATOR: &str =
    "an operator contains `--` or `/*`, which begins a comment: write spaces around operators";

fn place(at: Location) -> (u64, u64) {
    (at.line.max(1), at.column.max(1))
}

/// The remaining text of the query, and the line and column at which it begins.
struct Rest<'a> {
    text: &'a str,
    at: Location,
}

impl<'a> Rest<'a> {
    /// Removes the text of the next token from the beginning of the remaining text, and returns the token's text.
    /// Returns None if the token is empty, or does not begin where the remaining text begins.
    fn take(&mut self, token: &TokenWithSpan) -> Option<&'a str> {
        if token.span.start != self.at {
            return None;
        }
        let mut length = 0;
        while self.at != token.span.end {
            let next = self.text[length..].chars().next()?;
            length += next.len_utf8();
            self.at = match next {
                '\n' => Location { line: self.at.line + 1, column: 1 },
                _ => Location { line: self.at.line, column: self.at.column + 1 },
            };
        }
        let (taken, rest) = self.text.split_at(length);
        self.text = rest;
        (!taken.is_empty()).then_some(taken)
    }
}

fn kind(token: &Parsed, slice: &str) -> Kind {
    match token {
        Parsed::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => Kind::Comment,
        Parsed::Whitespace(_) => Kind::Space,
        Parsed::Word(word) if word.quote_style.is_some() => Kind::Name,
        Parsed::Word(word) if word.keyword == Keyword::NoKeyword => Kind::Word,
        Parsed::Word(_) => Kind::Keyword,
        Parsed::Number(..) => Kind::Number,
        // the tokenizer classifies the number 0x1F of SQLite as a text
        Parsed::HexStringLiteral(_) if slice.starts_with('0') => Kind::Number,
        Parsed::SingleQuotedString(_) => Kind::Text,
        Parsed::NationalStringLiteral(_)
        | Parsed::EscapedStringLiteral(_)
        | Parsed::UnicodeStringLiteral(_)
        | Parsed::SingleQuotedByteStringLiteral(_)
        | Parsed::HexStringLiteral(_)
        | Parsed::DollarQuotedString(_) => Kind::PrefixedText,
        Parsed::Colon => Kind::Colon,
        Parsed::DoubleColon => Kind::DoubleColon,
        Parsed::SemiColon => Kind::Semicolon,
        Parsed::Comma => Kind::Comma,
        Parsed::LParen | Parsed::LBracket => Kind::Open,
        Parsed::RParen | Parsed::RBracket => Kind::Close,
        // `check` refuses the characters of every other kind of quoted text
        _ => Kind::Operator,
    }
}

/// Checks that the server reads this token in the same way as the tokenizer. `before` has all earlier tokens of the
/// query.
fn check(token: &Token<'_>, before: &[Token<'_>], dialect: SqlDialect) -> Result<(), QueryFault> {
    let is_postgres = dialect == SqlDialect::Postgres;
    if token.text.contains('\0') {
        return Err(QueryFault::Unsure(CHARACTER));
    }
    let last = before.last();
    if let Some(last) = last {
        let ends_line = |c: char| c == '\n' || is_postgres && c == '\r';
        if last.kind == Kind::Comment && last.text.starts_with("--") && !token.text.starts_with(ends_line) {
            return Err(QueryFault::Unsure(COMMENT));
        }
        let ends = |c: char, next: char| !last.is_opaque() && last.text.ends_with(c) && token.text.starts_with(next);
        if ends('-', '-') || ends('/', '*') {
            return Err(QueryFault::Unsure(COMMENT_IN_OPERATOR));
        }
    }
    match token.kind {
        Kind::Comment if !shapes::is_comment(token.text, dialect) => Err(QueryFault::Unsure(COMMENT)),
        Kind::Comment => Ok(()),
        Kind::Name | Kind::Text | Kind::PrefixedText => {
            if !shapes::is_quoted_token(token.text, dialect) {
                return Err(QueryFault::Unsure(QUOTED));
            }
            if last.is_some_and(|last| is_prefix(last, before, token)) {
                return Err(QueryFault::Unsure(JOINED));
            }
            let other = before.iter().rev().find(|token| !token.is_blank());
            let may_join = |other: &Token<'_>| {
                let has_escapes = |token: &Token<'_>| token.kind == Kind::PrefixedText || token.text.contains('\\');
                other.is_text() && token.is_text() && (has_escapes(other) || has_escapes(token))
            };
            if is_postgres && other.is_some_and(may_join) {
                return Err(QueryFault::Unsure(CONTINUED));
            }
            Ok(())
        }
        _ => characters(token, dialect),
    }
}

/// Whether the server may read `last` and the quoted `token` after it as one token, such as a text with the prefix `E`.
/// `before` has all tokens before `token`, and `last` is the last of them.
fn is_prefix(last: &Token<'_>, before: &[Token<'_>], token: &Token<'_>) -> bool {
    let is_letter = |text: &str| matches!(text, "b" | "B" | "e" | "E" | "n" | "N" | "x" | "X");
    match last.kind {
        Kind::Number => true,
        Kind::Word | Kind::Keyword => is_letter(last.text) && token.text.starts_with('\''),
        Kind::Operator if last.text.ends_with('&') => {
            before.len() > 1 && matches!(before[before.len() - 2].text, "u" | "U") && token.text.starts_with('\'')
        }
        _ => false,
    }
}

/// Returns an error if a token has a character that the database does not allow outside of quotes and comments. The
/// token must be neither quoted nor a comment.
fn characters(token: &Token<'_>, dialect: SqlDialect) -> Result<(), QueryFault> {
    let is_word = matches!(token.kind, Kind::Word | Kind::Keyword);
    if token.text.contains("--") || token.text.contains("/*") {
        return Err(QueryFault::Unsure(COMMENT_IN_OPERATOR));
    }
    for c in token.text.chars() {
        let fits = match (c, dialect) {
            // this check accepts a colon or semicolon that is one token; the module `parts` then refuses it in a place
            // where the SQL does not allow it
            (':', SqlDialect::Sqlite) => token.kind == Kind::Colon,
            (':', SqlDialect::Postgres) => true,
            (';', _) => token.kind == Kind::Semicolon,
            ('$', _) => is_word,
            ('@' | '#' | '?' | '^' | '`' | '[' | ']', SqlDialect::Postgres) => true,
            (' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}', _) => token.kind == Kind::Space,
            _ => !c.is_ascii() || c.is_ascii_alphanumeric() || "_.,()+-*/<>=~!%&|".contains(c),
        };
        if fits {
            continue;
        }
        return Err(match (c, dialect) {
            ('$', _) | ('?' | '@' | '#', SqlDialect::Sqlite) => QueryFault::Placeholder(c),
            _ => QueryFault::Unsure(CHARACTER),
        });
    }
    Ok(())
}
