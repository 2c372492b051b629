//! The command line of `storm`.

use std::{path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt as _};

use crate::faults::Fault;

/// The servers under the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// SQLite, and a folder as the file store.
    Folder,
    /// PostgreSQL, and SeaweedFS as the file store.
    S3,
}

impl Backend {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Folder => "SQLite and a folder",
            Self::S3 => "PostgreSQL and S3",
        }
    }
}

pub(crate) struct Options {
    pub(crate) backend: Backend,
    /// How long faults happen.
    pub(crate) duration: Duration,
    /// The seed of all random choices.
    pub(crate) seed: u64,
    /// Print the numbers as one line of JSON.
    pub(crate) json: bool,
    /// The kinds of faults that don't happen.
    pub(crate) without: Vec<Fault>,
    /// Whether the storm also succeeds when the machine can't make a kind of fault.
    pub(crate) allow_missing: bool,
    /// Where the logs stay; None keeps them in a temporary folder, and only after a broken promise.
    pub(crate) logs: Option<PathBuf>,
}

/// Reads the words after the program's name.
///
/// # Errors
/// One sentence about the wrong word.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        backend: Backend::Folder,
        duration: Duration::from_secs(90),
        seed: rand::random(),
        json: false,
        without: vec![],
        allow_missing: false,
        logs: None,
    };
    let mut parser = Parser::from_args(words);
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("backend") => options.backend = backend(&text(&mut parser)?)?,
            Arg::Long("seconds") => options.duration = Duration::from_secs(number(&mut parser)?),
            Arg::Long("seed") => options.seed = number(&mut parser)?,
            Arg::Long("without") => options.without.push(text(&mut parser)?.parse()?),
            Arg::Long("logs") => options.logs = Some(text(&mut parser)?.into()),
            Arg::Long("allow-missing") => options.allow_missing = true,
            Arg::Long("json") => options.json = true,
            other => return Err(describe(other.unexpected())),
        }
    }
    Ok(options)
}

fn backend(name: &str) -> Result<Backend, String> {
    match name {
        "folder" => Ok(Backend::Folder),
        "s3" => Ok(Backend::S3),
        other => Err(format!("`--backend {other}` isn't `folder` or `s3`")),
    }
}

fn number(parser: &mut Parser) -> Result<u64, String> {
    let text = text(parser)?;
    text.parse().map_err(|_| format!("`{text}` isn't a whole number"))
}

fn text(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(|value| value.string()).map_err(describe)
}

fn describe(error: lexopt::Error) -> String {
    error.to_string()
}
