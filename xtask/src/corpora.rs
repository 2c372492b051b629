//! `cargo xtask corpora FOLDER`: exports a folder of foreign files, and compares every value with that of other readers.

use std::path::Path;

use anyhow::{Result, bail};

use crate::layout::Layout;
use crate::run::Run;
use crate::tools::python::{self, Packages};

/// Judges each Parquet, Arrow, CSV and NDJSON file below `folder` (see `xtask/python/corpora`), and prints the counts. First
/// runs the tests of the comparison.
///
/// # Errors
/// When a value is wrong, a refusal does not name what it refuses and what to do, the process died, or a test fails.
pub(crate) fn corpora(layout: &Layout, folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        bail!("{} is no folder: give one with Parquet, Arrow, CSV or NDJSON files", folder.display())
    }
    Run::cargo("building sluice", &layout.root).args(["build", "--package", "sluice"]).live()?;
    let python = python::environment(layout, Packages::Peers)?;
    let scripts = layout.root.join("xtask/python/corpora");
    Run::new("testing the comparison", &python).arg(scripts.join("corpora_test.py")).live()?;
    Run::new("comparing foreign files", python).arg(scripts).arg(layout.sluice(false)).arg(folder).live()
}
