//! Checks the dependencies by the rules of `deny.toml`.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::Context;

/// Names a git copy of RustSec's advisory database, at the commit to check with.
const ADVISORY_DB: &str = "SLUICE_ADVISORY_DB";
/// The address from which cargo-deny would fetch the database.
const ADVISORY_URL: &str = "https://github.com/RustSec/advisory-db";

/// Checks licences, bans and sources, and the advisories where [`ADVISORY_DB`] names a copy of the database. The hosted
/// workflow checks the newest advisories (`docs/decisions/0141-advisories-are-checked-by-the-hosted-workflow.md`).
pub(super) fn dependencies(context: &Context<'_>) -> Result<()> {
    let check = context.program("cargo-deny")?.args(["--all-features", "--locked"]);
    let log = context.log("cargo-deny");
    let Some(database) = env::var_os(ADVISORY_DB).map(PathBuf::from) else {
        println!("   advisories: not checked, because {ADVISORY_DB} names no copy of RustSec's database");
        return check.args(["check", "bans", "licenses", "sources"]).quiet(&log);
    };
    if !database.is_dir() {
        bail!("{ADVISORY_DB} names no folder: {}", database.display())
    }
    let folder = context.layout.own().join("advisories");
    fs::create_dir_all(&folder).with_context(|| format!("{} can't be created", folder.display()))?;
    let rules = fs::read_to_string(context.root().join("deny.toml")).context("deny.toml can't be read")?;
    let config = folder.join("deny.toml");
    fs::write(&config, with_database(&rules, &folder.display().to_string())?)
        .with_context(|| format!("{} can't be written", config.display()))?;
    check
        .arg("--config")
        .arg(&config)
        .args(["check", "advisories", "bans", "licenses", "sources"])
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", database.display()))
        .env("GIT_CONFIG_VALUE_0", ADVISORY_URL)
        .env("GIT_CONFIG_KEY_1", "safe.directory")
        .env("GIT_CONFIG_VALUE_1", "*")
        .quiet(&log)
}

/// Returns the rules with a folder of their own for the database, which git fetches: only git can be pointed to a copy.
fn with_database(rules: &str, folder: &str) -> Result<String> {
    const TABLE: &str = "[advisories]\n";
    if !rules.contains(TABLE) {
        bail!("deny.toml has no table [advisories]")
    }
    Ok(rules.replace(TABLE, &format!("{TABLE}db-path = {folder:?}\ngit-fetch-with-cli = true\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_named_in_its_table() {
        let rules = with_database("[bans]\n\n[advisories]\nversion = 2\n", "/a b").unwrap();
        let advisories = "[advisories]\ndb-path = \"/a b\"\ngit-fetch-with-cli = true\nversion = 2\n";
        assert_eq!(rules, format!("[bans]\n\n{advisories}"));
        assert!(with_database("[bans]\n", "/a").is_err());
    }
}
