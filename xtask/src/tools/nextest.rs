//! Installs cargo-nextest, the test runner.

use anyhow::Result;

use crate::layout::Layout;
use crate::run::Run;

/// Installs cargo-nextest unless `cargo nextest` works.
pub(crate) fn ensure(layout: &Layout) -> Result<()> {
    if Run::cargo("cargo-nextest", &layout.root).args(["nextest", "--version"]).output().is_ok() {
        return Ok(());
    }
    println!("cargo-nextest is missing; installing it, which takes a few minutes, once");
    Run::cargo("installing cargo-nextest", &layout.root).args(["install", "cargo-nextest", "--locked"]).live()
}
