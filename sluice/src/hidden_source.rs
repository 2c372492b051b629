//! Hides the password of a source from other users of the machine, who can read the arguments of every process.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::Path,
    process::Command as Process,
};

use exporter::catalog::init::PASSED_URL;
use platform::secret::Secret;
use url::Url;

use crate::cli::{CatalogCommand, Command};

/// Replaces this process by a new start of the program, if the arguments contain the URL of a database with a password.
/// The new arguments name an environment variable that contains the URL. Returns if the arguments contain no such URL,
/// or if the program can't be started again.
pub(crate) fn hide(command: &Command) {
    let Some(source) = source(command).filter(|source| has_password(source.expose())) else { return };
    let mut args = replaced(env::args_os(), source.expose());
    let name = args.next();
    // the link stays valid after an update has replaced the file of the program
    let link = Path::new("/proc/self/exe");
    let program = if link.exists() { Ok(link.to_owned()) } else { env::current_exe() };
    let Ok(program) = program else { return };
    let mut process = Process::new(program);
    if let Some(name) = name {
        process.arg0(name);
    }
    // `exec` returns only if it fails; the command then runs with its arguments as they are
    let _ = process.args(args).env(PASSED_URL, source.expose()).exec();
}

fn source(command: &Command) -> Option<&Secret> {
    match command {
        Command::Up(options) => options.source.as_ref(),
        Command::Catalog(CatalogCommand::Init(options)) => Some(&options.source),
        _ => None,
    }
}

fn has_password(source: &str) -> bool {
    let is_database = source.starts_with("postgres://") || source.starts_with("postgresql://");
    // a parameter of the URL may be a password, too
    is_database && Url::parse(source).is_ok_and(|url| url.password().is_some() || url.query().is_some())
}

/// Returns the arguments with the source replaced by the name of the environment variable.
fn replaced<'a>(args: impl Iterator<Item = OsString> + 'a, source: &'a str) -> impl Iterator<Item = OsString> + 'a {
    args.map(move |arg| if arg == OsStr::new(source) { format!("env:{PASSED_URL}").into() } else { arg })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_with_a_secret_is_replaced() {
        for (source, is_hidden) in [
            ("postgres://app:s3cr3t@localhost/shop", true),
            ("postgresql://localhost/shop?password=s3cr3t", true),
            ("postgres://app@localhost/shop", false),
            ("env:SHOP_DATABASE_URL", false),
            ("shop.db", false),
        ] {
            assert_eq!(has_password(source), is_hidden, "{source}");
        }
        let url = "postgres://app:s3cr3t@localhost/shop";
        let args = ["sluice", "up", url, "--port", "0"].map(OsString::from).into_iter();
        let expected = ["sluice", "up", "env:EXPORTER_SOURCE_URL", "--port", "0"];
        assert_eq!(replaced(args, url).collect::<Vec<_>>(), expected.map(OsString::from));
    }
}
