//! Python virtual environments with pinned packages, so that the machine's Python stays unchanged.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::run::{self, Run};
use crate::stamp::{self, Stamp};

/// A list of packages under `xtask/python/`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packages {
    /// Packages that read files back in the round-trip tests.
    Readers,
    /// The peers that `cargo xtask bench` measures.
    Peers,
    /// Programs that `cargo xtask loaders` loads exports with.
    Loaders,
    /// Validators of YAML, JSON and Kubernetes objects for `cargo xtask lint-ops`.
    Checkers,
    /// The generator of requests of `cargo xtask schemathesis`.
    Schemathesis,
    /// Other programs of `cargo xtask lint-ops`, each pinned by digest.
    Programs,
}

impl Packages {
    const fn name(self) -> &'static str {
        match self {
            Self::Readers => "readers",
            Self::Peers => "peers",
            Self::Loaders => "loaders",
            Self::Checkers => "checkers",
            Self::Schemathesis => "schemathesis",
            Self::Programs => "programs",
        }
    }
}

/// The interpreter of an environment with exactly these packages, which is created again when the list changes.
pub(crate) fn environment(layout: &Layout, packages: Packages) -> Result<PathBuf> {
    let name = packages.name();
    let list = layout.root.join("xtask/python").join(format!("{name}.txt"));
    let folder = layout.tools().join(format!("python-{name}"));
    let python = folder.join("bin/python");
    let stamp = Stamp::new(layout.own().join(format!("python-{name}.stamp")));
    let digest = stamp::of_file(&list)?;
    if stamp.is(&digest) && run::is_program(&python) {
        return Ok(python);
    }
    if run::on_path("python3").is_none() {
        bail!("Python 3 is missing: install python3 with pip and venv (3.11 is known to work)")
    }
    stamp.clear();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} can't be removed", folder.display()))?;
    }
    let log = layout.log(&format!("python-{name}"));
    Run::new("python3 -m venv (Debian: apt install python3-venv)", "python3")
        .args(["-m", "venv"])
        .arg(&folder)
        .quiet(&log)?;
    Run::new(format!("installing the Python packages of {name}.txt"), &python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&list)
        .quiet(&log)?;
    stamp.set(&digest)?;
    Ok(python)
}
