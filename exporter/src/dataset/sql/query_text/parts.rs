//! Finds the parameters among the tokens of a query.
//!
//! A parameter is a colon and the name of a declared parameter, such as `:since`. In SQLite, every colon begins a
//! parameter. In PostgreSQL, a colon may also separate the ends of an array slice (`a[x:y]`) or the key and the value
//! of a member in `JSON_OBJECT('a' : b)`. Such a colon follows an operand. In valid SQL, a parameter can't directly
//! follow an operand. The parser therefore keeps a colon after an operand as part of the SQL. If the name of a declared
//! parameter directly follows that colon, as in `a[x:since]`, the author may have meant the parameter, so the parser
//! refuses the query as ambiguous.

use std::borrow::Cow;

use protocol::params::ParamSpec;

use super::{
    Part,
    error::{QueryFault, QueryTextError},
    tokens::{Kind, SqlDialect, Token, tokens},
};

const STATEMENTS: [&str; 4] = ["select", "with", "values", "table"];
const CAST_BEFORE_COLON: &str = "a `:` directly follows `::`: write a space or a parenthesis between them";
const COLON_BEFORE_PREFIX: &str = "a `:` directly precedes a quoted text with a prefix: write a space between them";
const LONE_COLON: &str = "SQLite has no `:` but that of a parameter, `:name`: leave it out, or declare the parameter";
const ODD_NAME: &str =
    "the name of a parameter has only letters, digits and `_` of ASCII: rename it, or write a space after it";

/// Parses a query into pieces of SQL text and the parameters between them. `params` are the declared parameters.
///
/// # Errors
/// When the text is not exactly one `SELECT`, `WITH`, `VALUES` or `TABLE` statement, uses an undeclared parameter, or
/// has an unbalanced bracket. Also when the server may split the text into other tokens than the exporter.
pub(super) fn parts(text: &str, params: &[ParamSpec], dialect: SqlDialect) -> Result<Vec<Part>, QueryTextError> {
    let all = tokens(text, dialect)?;
    let all = statement(&all)?;
    let mut finder = Finder { params, dialect, parts: Vec::new(), text: String::new(), open: Vec::new(), last: None };
    let mut at = 0;
    while at < all.len() {
        at += finder.next(&all[at..])?;
    }
    if let Some((bracket, place)) = finder.open.pop() {
        return Err(QueryFault::Unbalanced(bracket.character()).at(place));
    }
    finder.parts.push(Part::Text(finder.text));
    Ok(finder.parts)
}

/// Returns the tokens of the only statement in `all`, without the semicolons at its end. Returns an error if there is
/// another statement, or if the statement does not begin with one of [`STATEMENTS`].
fn statement<'t, 'a>(all: &'t [Token<'a>]) -> Result<&'t [Token<'a>], QueryTextError> {
    let end = all.iter().position(|token| token.kind == Kind::Semicolon).unwrap_or(all.len());
    let (kept, rest) = all.split_at(end);
    if let Some(other) = rest.iter().find(|token| !token.is_blank() && token.kind != Kind::Semicolon) {
        return Err(QueryFault::NoSelect.at(other.at));
    }
    let first = kept.iter().find(|token| !token.is_blank() && token.text != "(");
    let is_statement = |token: &Token<'_>| {
        token.kind == Kind::Keyword && STATEMENTS.iter().any(|word| token.text.eq_ignore_ascii_case(word))
    };
    match first {
        Some(token) if is_statement(token) => Ok(kept),
        first => Err(QueryFault::NoSelect.at(first.map_or((1, 1), |token| token.at))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    Parenthesis,
    /// The bracket of `a[…]`, in which a colon separates the ends of an array slice.
    Subscript,
    /// The bracket of `ARRAY[…]`.
    Array,
}

impl Bracket {
    const fn character(self) -> char {
        match self {
            Self::Parenthesis => '(',
            Self::Subscript | Self::Array => '[',
        }
    }
}

/// The role of the last token that is neither white space nor a comment. The role decides the meaning of the next colon
/// or bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The last token ends an operand. A parameter can't directly follow an operand.
    Operand,
    /// The last token is a word without quotes that may be a keyword or a name.
    Keyword,
    /// The last token is the keyword ARRAY. The bracket after it opens the items of an array.
    Array,
    /// The last token is the opening bracket of a subscript, as in `a[`.
    Subscript,
    /// The last token is one after which an operand begins, such as an operator.
    Other,
}

struct Finder<'a> {
    params: &'a [ParamSpec],
    dialect: SqlDialect,
    parts: Vec<Part>,
    /// The SQL text after the last parameter.
    text: String,
    /// The brackets that are not closed yet, each with its line and column in the query, from 1.
    open: Vec<(Bracket, (u64, u64))>,
    last: Option<Last>,
}

impl Finder<'_> {
    /// Processes the first token of `rest` or, if it begins a parameter, both the colon and the name. Returns the
    /// number of processed tokens: 2 for a parameter, and 1 otherwise.
    fn next(&mut self, rest: &[Token<'_>]) -> Result<usize, QueryTextError> {
        let token = rest[0];
        let placed = |fault: QueryFault| fault.at(token.at);
        if token.kind == Kind::Colon
            && let Some(spec) = self.parameter(rest.get(1)).map_err(placed)?
        {
            let spec = spec.clone();
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
            self.parts.push(Part::Param(spec));
            self.last = Some(Last::Operand);
            let next = rest.get(2).and_then(|token| token.text.chars().next());
            // SQLite and PostgreSQL count these characters as a part of the name
            return match next {
                Some(c) if !c.is_ascii() || c == '$' => Err(placed(QueryFault::Unsure(ODD_NAME))),
                _ => Ok(2),
            };
        }
        if token.kind == Kind::DoubleColon && rest.get(1).is_some_and(|next| next.kind == Kind::Colon) {
            return Err(placed(QueryFault::Unsure(CAST_BEFORE_COLON)));
        }
        self.brackets(&token).map_err(placed)?;
        match self.dialect {
            SqlDialect::Postgres => self.text.push_str(&unambiguous(&token)),
            SqlDialect::Sqlite => self.text.push_str(token.text),
        }
        if !token.is_blank() {
            self.last = Some(self.role(&token));
        }
        Ok(1)
    }

    /// Returns the parameter to which a colon refers, as in `:name`. `next` is the token after the colon. Returns None
    /// if the colon is part of the SQL text.
    fn parameter(&self, next: Option<&Token<'_>>) -> Result<Option<&ParamSpec>, QueryFault> {
        let is_sqlite = self.dialect == SqlDialect::Sqlite;
        let next = match next {
            Some(next) if matches!(next.kind, Kind::Word | Kind::Keyword) => next,
            Some(next) if next.kind == Kind::PrefixedText && !next.text.starts_with('$') => {
                return Err(QueryFault::Unsure(COLON_BEFORE_PREFIX));
            }
            _ if is_sqlite => return Err(QueryFault::Unsure(LONE_COLON)),
            _ => return Ok(None),
        };
        let name = next.text;
        let follows_operand = self.last == Some(Last::Operand) && !is_sqlite;
        let declared = self.params.iter().find(|spec| spec.name == name);
        match declared {
            Some(_) if follows_operand => Err(QueryFault::Ambiguous(name.to_owned())),
            Some(spec) => Ok(Some(spec)),
            None if follows_operand || self.is_range() => Ok(None),
            None if !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) => Err(QueryFault::Unsure(ODD_NAME)),
            None => Err(QueryFault::Undeclared(name.to_owned())),
        }
    }

    /// Whether a colon after the last token separates the ends of an array slice, as in `a[:y]`. The colon does so
    /// after the opening bracket of a subscript, and after a keyword in a subscript. The caller has already handled a
    /// colon after an operand, and a colon before a declared parameter.
    fn is_range(&self) -> bool {
        let is_subscript = self.open.last().is_some_and(|(bracket, _)| *bracket == Bracket::Subscript);
        is_subscript && matches!(self.last, Some(Last::Keyword | Last::Subscript))
    }

    fn brackets(&mut self, token: &Token<'_>) -> Result<(), QueryFault> {
        match (token.kind, token.text) {
            (Kind::Open, "(") => self.open.push((Bracket::Parenthesis, token.at)),
            (Kind::Open, _) => {
                let is_subscript = matches!(self.last, Some(Last::Operand | Last::Keyword));
                let bracket = if is_subscript { Bracket::Subscript } else { Bracket::Array };
                self.open.push((bracket, token.at));
            }
            (Kind::Close, text) => {
                let opening = if text == ")" { '(' } else { '[' };
                let character = if text == ")" { ')' } else { ']' };
                match self.open.pop() {
                    Some((bracket, _)) if bracket.character() == opening => {}
                    _ => return Err(QueryFault::Unbalanced(character)),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the role of a token, which decides the meaning of the next colon or bracket. If the token is an opening
    /// bracket, it must be the last item of `open`.
    fn role(&self, token: &Token<'_>) -> Last {
        match token.kind {
            Kind::Word | Kind::Name | Kind::Number | Kind::Text | Kind::PrefixedText | Kind::Close => Last::Operand,
            Kind::Keyword if token.text.eq_ignore_ascii_case("array") => Last::Array,
            Kind::Keyword => Last::Keyword,
            Kind::Open if self.open.last().is_some_and(|(bracket, _)| *bracket == Bracket::Subscript) => {
                Last::Subscript
            }
            _ => Last::Other,
        }
    }
}

/// Returns the text of a token for PostgreSQL. A quoted text with a backslash becomes an `E'…'` text of the same value,
/// which does not depend on the setting `standard_conforming_strings`.
fn unambiguous<'a>(token: &Token<'a>) -> Cow<'a, str> {
    if token.kind == Kind::Text && token.text.contains('\\') {
        // the space separates the prefix from a word before it
        return Cow::Owned(format!(" E{}", token.text.replace('\\', "\\\\")));
    }
    Cow::Borrowed(token.text)
}
