//! Splits an expression into tokens.

use super::ExprError;

/// The maximum length of an expression, in bytes.
const MAX_LENGTH: usize = 2_000;

/// A token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A number: digits, with an optional point and exponent.
    Number(String),
    /// Text in single quotes. A doubled quote stands for one quote.
    Text(String),
    /// The name of a function or column, or a keyword.
    Name(String),
    /// A name in double quotes, which is always a column.
    Column(String),
    /// An operator, a comma or a parenthesis.
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["<=", ">=", "<>", "!=", "(", ")", ",", "+", "-", "*", "/", "=", "<", ">"];

/// Splits an expression into tokens, each with its byte offset in the expression.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExprError> {
    if text.len() > MAX_LENGTH {
        return Err(ExprError::at(0, format!("an expression has at most {MAX_LENGTH} bytes")));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let begin = at;
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let token = if first == '\'' || first == '"' {
            let (value, length) = quoted(rest, first).ok_or_else(|| ExprError::at(at, "a quote is not closed"))?;
            at += length;
            if first == '"' { Token::Column(value) } else { Token::Text(value) }
        } else if first.is_ascii_digit() {
            let length = number(rest);
            at += length;
            Token::Number(rest[..length].to_owned())
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            at += length;
            Token::Name(rest[..length].to_owned())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            return Err(ExprError::at(at, format!("unexpected character `{first}`")));
        };
        tokens.push((begin, token));
    }
    Ok(tokens)
}

/// Parses quoted text at the beginning of `rest`. Returns the text without the quotes, and the number of consumed bytes
/// including the quotes. Returns None if the closing quote is missing.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return Some((value, at + 1));
        }
    }
    None
}

/// Returns the length, in bytes, of the number at the beginning of `rest`.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(end + 1 + sign).map_or(0, |_| digits(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}
