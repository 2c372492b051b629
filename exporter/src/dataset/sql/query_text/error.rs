//! Errors of queries in the catalog file: the reasons why a text is not a valid query.

/// The reason why a text is not a valid query, and the place of the fault in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryTextError {
    /// A fault at one place of the text.
    #[error("line {line}, column {column} of the query: {fault}")]
    At {
        /// The number of the line in the query's text, from 1.
        line: u64,
        /// The position in the line, in characters, from 1.
        column: u64,
        /// The fault at this place.
        fault: QueryFault,
    },
    /// The catalog file declares this parameter, but the query does not use it.
    #[error("the query does not use the parameter `{0}`: use it as `:{0}`, or leave out its [[dataset.param]]")]
    Unused(String),
}

/// A fault of a query, without its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// The text is not exactly one SELECT, WITH, VALUES or TABLE statement.
    #[error("a query is one statement that begins with SELECT, WITH, VALUES or TABLE: leave out what stands here")]
    NoSelect,
    /// The tokenizer can't read the text, for example because a quoted text has no end. The field is the message of the
    /// tokenizer.
    #[error("it can't be read as SQL: {0}: correct the query at this place")]
    Unreadable(String),
    /// A parenthesis or bracket has no counterpart. The field is this character.
    #[error("the `{0}` has no partner: add the other one, or leave this one out")]
    Unbalanced(char),
    /// The query uses a parameter that the catalog file does not declare. The field is the name without the colon.
    #[error(
        "the query names `:{0}`, which is no declared parameter; a `:` that begins no parameter needs a space after it"
    )]
    Undeclared(String),
    /// A colon follows an operand, and the name of a declared parameter follows the colon, as in `a[x:since]`. The
    /// author may have meant the parameter, but the colon may also separate the ends of an array slice, or the key and
    /// the value of a JSON member. The field is the name without the colon.
    #[error(
        "`:{0}` follows an operand, so that it may be a parameter or a range: write `(:{0})` for the parameter, and \
         `: {0}` for the end of a range"
    )]
    Ambiguous(String),
    /// A placeholder in the syntax of the database, such as `$1`. Queries in the catalog file can only use parameters
    /// of the form `:name`. The field is the first character of the placeholder.
    #[error("`{0}` begins a placeholder of the database, which has no value: write `:name` and declare the parameter")]
    Placeholder(char),
    /// The server may split a part of the text into other tokens than the exporter does. The field is the reason, as a
    /// text for the operator.
    #[error("{0}")]
    Unsure(&'static str),
}

impl QueryFault {
    /// Returns the error for this fault at a place of the query, given as its line and column, from 1.
    pub(super) fn at(self, (line, column): (u64, u64)) -> QueryTextError {
        QueryTextError::At { line, column, fault: self }
    }
}
