//! Python virtual environments with pinned packages, so that the machine's Python stays unchanged.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::build_stamp::{self, Stamp};
use crate::layout::Layout;
use crate::run::{self, Run};

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
    /// What tests, lints and builds the Python client.
    Client,
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
            Self::Client => "client",
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
    let digest = build_stamp::of_file(&list)?;
    if stamp.is(&digest) && run::is_program(&python) {
        return Ok(python);
    }
    if run::on_path("python3").is_none() {
        bail!("Python 3 is missing: install python3 with pip and venv (3.11 is known to work)")
    }
    stamp.clear();
    create(layout, packages, Path::new("python3"), &folder)?;
    stamp.set(&digest)?;
    Ok(python)
}

/// Creates an environment with exactly these packages in an empty folder, and returns its interpreter.
pub(crate) fn create(layout: &Layout, packages: Packages, interpreter: &Path, folder: &Path) -> Result<PathBuf> {
    let name = packages.name();
    let list = layout.root.join("xtask/python").join(format!("{name}.txt"));
    let python = folder.join("bin/python");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} can't be removed", folder.display()))?;
    }
    let log = layout.log(&format!("python-{name}"));
    Run::new("python3 -m venv (Debian: apt install python3-venv)", interpreter)
        .args(["-m", "venv"])
        .arg(folder)
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
    Ok(python)
}

/// An installed Python 3.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interpreter {
    /// The second number of its version: 13 for Python 3.13.
    pub(crate) minor: u32,
    pub(crate) program: PathBuf,
}

/// The later versions of Python 3 to look for.
const MINORS: std::ops::Range<u32> = 10..40;

/// The interpreters that a variable names, separated as in PATH, or those of PATH and of pyenv; sorted by version.
pub(crate) fn interpreters(named_by: &str) -> Vec<Interpreter> {
    let candidates: Vec<PathBuf> = match env::var_os(named_by).filter(|value| !value.is_empty()) {
        Some(named) => env::split_paths(&named).collect(),
        None => MINORS.filter_map(|minor| run::on_path(&format!("python3.{minor}"))).chain(of_pyenv()).collect(),
    };
    // pyenv puts a program on the PATH for each version, which fails for those that are not selected
    let usable = |program: PathBuf| Some(Interpreter { minor: minor(&program)?, program });
    let mut found: Vec<Interpreter> = candidates.into_iter().filter_map(usable).collect();
    found.sort();
    found
}

/// The programs of the versions that pyenv has installed.
fn of_pyenv() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let programs = versions.into_iter().flatten().flatten().map(|version| version.path().join("bin/python3"));
    programs.filter(|program| run::is_program(program)).collect()
}

/// The second number of the version of a Python 3 that can create environments.
fn minor(program: &Path) -> Option<u32> {
    let script = "import sys, ensurepip, venv; print(sys.version_info.major, sys.version_info.minor)";
    let printed = Run::new("python3", program).args(["-c", script]).output().ok()?;
    printed.trim().strip_prefix("3 ")?.parse().ok()
}
