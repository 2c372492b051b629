//! Parses tokens into a syntax tree of limited depth and size.

use super::{
    ExprError,
    lex::{self, Token},
};

/// The maximum depth of the syntax tree of an expression.
const MAX_DEPTH: usize = 32;
/// The maximum number of nodes in the syntax tree of an expression.
const MAX_NODES: usize = 200;

/// A node of the syntax tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The byte offset of the node in the expression, for error texts.
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Number(String),
    Text(String),
    Bool(bool),
    Null,
    Column(String),
    Minus(Box<Node>),
    Not(Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
    Call(String, Vec<Node>),
}

impl Node {
    /// Appends the names of the columns that this node and the nodes below it read.
    pub(super) fn columns(&self, names: &mut Vec<String>) {
        match &self.kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Bool(_) | Kind::Null => {}
            Kind::Column(name) => names.push(name.clone()),
            Kind::Minus(inner) | Kind::Not(inner) => inner.columns(names),
            Kind::Binary(_, left, right) => {
                left.columns(names);
                right.columns(names);
            }
            Kind::Call(_, values) => values.iter().for_each(|value| value.columns(names)),
        }
    }
}

/// The binary operators by precedence, lowest first.
const LEVELS: [&[&str]; 5] = [&["or"], &["and"], &["=", "<>", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/"]];
/// The index of the comparison operators in [`LEVELS`]. The parser handles `not` at this level. So `not` binds more
/// tightly than `and`, and the operand of `not` may be a comparison.
const NOT_LEVEL: usize = 2;

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    end: usize,
    nodes: usize,
    depth: usize,
}

/// Parses a text, which must be exactly one expression.
pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    let tokens = lex::tokens(text)?.into_iter().peekable();
    let mut parser = Parser { tokens, end: text.len(), nodes: 0, depth: 0 };
    let node = parser.level(0)?;
    match parser.tokens.next() {
        None => Ok(node),
        Some((at, _)) => Err(ExprError::at(at, "an operator is missing here")),
    }
}

impl Parser {
    fn level(&mut self, level: usize) -> Result<Node, ExprError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        if level == NOT_LEVEL
            && let Some(at) = self.keyword("not")
        {
            let inner = self.deeper(|parser| parser.level(NOT_LEVEL))?;
            return self.node(at, Kind::Not(Box::new(inner)));
        }
        let mut left = self.level(level + 1)?;
        while let Some((at, operator)) = self.operator(operators) {
            let right = self.level(level + 1)?;
            left = self.node(at, Kind::Binary(operator, Box::new(left), Box::new(right)))?;
            if level == NOT_LEVEL {
                // `a < b < c` is an error, because it is nearly always a mistake
                break;
            }
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        if let Some((at, _)) = self.operator(&["-"]) {
            let inner = self.deeper(Self::unary)?;
            return self.node(at, Kind::Minus(Box::new(inner)));
        }
        let Some((at, token)) = self.tokens.next() else {
            return Err(ExprError::at(self.end, "a value is missing at the end"));
        };
        match token {
            Token::Number(text) => self.node(at, Kind::Number(text)),
            Token::Text(text) => self.node(at, Kind::Text(text)),
            Token::Column(name) => self.node(at, Kind::Column(name)),
            Token::Sign("(") => {
                let inner = self.deeper(|parser| parser.level(0))?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Name(name) if self.operator(&["("]).is_some() => {
                let mut arguments = Vec::new();
                if self.operator(&[")"]).is_none() {
                    loop {
                        arguments.push(self.deeper(|parser| parser.level(0))?);
                        if self.operator(&[","]).is_none() {
                            break;
                        }
                    }
                    self.expect(")")?;
                }
                self.node(at, Kind::Call(name, arguments))
            }
            Token::Name(name) => {
                let kind = match name.as_str() {
                    "true" => Kind::Bool(true),
                    "false" => Kind::Bool(false),
                    "null" => Kind::Null,
                    "and" | "or" | "not" => {
                        return Err(ExprError::at(at, format!("a value is missing before `{name}`")));
                    }
                    _ => Kind::Column(name),
                };
                self.node(at, kind)
            }
            Token::Sign(sign) => Err(ExprError::at(at, format!("a value is missing before `{sign}`"))),
        }
    }

    fn node(&mut self, at: usize, kind: Kind) -> Result<Node, ExprError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(ExprError::at(at, format!("an expression has at most {MAX_NODES} parts")));
        }
        Ok(Node { at, kind })
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Result<Node, ExprError>) -> Result<Node, ExprError> {
        if self.depth == MAX_DEPTH {
            let at = self.tokens.peek().map_or(self.end, |(at, _)| *at);
            return Err(ExprError::at(at, format!("an expression is at most {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    /// Consumes the next token if it is one of the `wanted` operators. Returns the byte offset of the token, and the
    /// operator. Returns None if the next token is any other token.
    fn operator(&mut self, wanted: &[&'static str]) -> Option<(usize, &'static str)> {
        let found = |token: &Token| match token {
            Token::Sign(sign) => wanted.iter().copied().find(|one| one == sign),
            Token::Name(name) => wanted.iter().copied().find(|one| one == name),
            _ => None,
        };
        let operator = self.tokens.peek().and_then(|(_, token)| found(token))?;
        self.tokens.next().map(|(at, _)| (at, operator))
    }

    fn keyword(&mut self, wanted: &'static str) -> Option<usize> {
        self.operator(&[wanted]).map(|(at, _)| at)
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ExprError> {
        let at = self.tokens.peek().map_or(self.end, |(at, _)| *at);
        self.operator(&[sign]).map(drop).ok_or_else(|| ExprError::at(at, format!("`{sign}` is missing here")))
    }
}
