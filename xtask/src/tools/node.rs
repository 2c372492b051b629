//! Checks the version of Node.js, which builds and tests the page.

use anyhow::{Result, bail};

use super::version::Version;
use crate::run::{self, Run};

/// The oldest version that the page's bundler supports.
const OLDEST: Version = Version(20, 19, 0);
const HOW: &str = "install Node 20.19 or newer (nodejs.org, or your package manager)";

/// The version of Node: an input of the installed packages.
pub(crate) fn check() -> Result<Version> {
    let printed = match Run::new("Node", "node").arg("--version").output() {
        Ok(printed) => printed,
        Err(_) => bail!("Node is missing: {HOW}"),
    };
    if run::on_path("npm").is_none() {
        bail!("npm is missing: it comes with Node; {HOW}")
    }
    judge(&printed)
}

fn judge(printed: &str) -> Result<Version> {
    match Version::find(printed) {
        Some(version) if version >= OLDEST => Ok(version),
        Some(version) => bail!("Node {version} is too old: {HOW}"),
        None => bail!("Node doesn't print its version: {HOW}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_judged_by_what_it_prints() {
        assert_eq!(judge("v20.20.2\n").ok(), Some(Version(20, 20, 2)));
        assert!(judge("v22.1.0").is_ok());
        assert!(judge("v18.20.0").unwrap_err().to_string().starts_with("Node 18.20.0 is too old"));
        assert!(judge("hello").is_err());
    }
}
