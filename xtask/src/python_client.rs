//! The Python client: lints it, builds its wheel, and tests the installed wheel with the oldest and the newest Python.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::run::Run;
use crate::test::no_proxy;
use crate::tools::python::{self, Interpreter, Packages};

/// Names the interpreters to test with, separated as in PATH; without it, those of PATH and of pyenv.
const NAMED_BY: &str = "PYTHON_CLIENT_INTERPRETERS";
/// The second number of the oldest Python 3 that the client supports.
const OLDEST: u32 = 10;

/// Runs all checks. The tests start Sluice themselves.
pub(crate) fn check(layout: &Layout, nats: &Path) -> Result<()> {
    let (oldest, newest) = oldest_and_newest(python::interpreters(NAMED_BY))?;
    println!("   the Python client is tested with Python 3.{} and 3.{}", oldest.minor, newest.minor);
    let client = Client { layout, nats, work: layout.own().join("python-client") };
    if client.work.exists() {
        fs::remove_dir_all(&client.work).with_context(|| format!("{} can't be removed", client.work.display()))?;
    }
    fs::create_dir_all(&client.work).with_context(|| format!("{} can't be created", client.work.display()))?;
    let python = client.environment(&newest)?;
    client.lint(&python)?;
    let wheel = client.build(&python)?;
    client.test(&newest, &python, &wheel)?;
    let python = client.environment(&oldest)?;
    client.test(&oldest, &python, &wheel)
}

/// The oldest supported interpreter and the newest one, which differ.
fn oldest_and_newest(found: Vec<Interpreter>) -> Result<(Interpreter, Interpreter)> {
    let oldest = found.iter().find(|python| python.minor == OLDEST).cloned();
    let newest = found.into_iter().rfind(|python| python.minor > OLDEST);
    match (oldest, newest) {
        (Some(oldest), Some(newest)) => Ok((oldest, newest)),
        (None, _) => bail!("Python 3.{OLDEST} is missing: install it, with pip and venv, or name it with {NAMED_BY}"),
        (_, None) => {
            bail!(
                "a newer Python than 3.{OLDEST} is missing: install it, with pip and venv, or name it with {NAMED_BY}"
            )
        }
    }
}

struct Client<'a> {
    layout: &'a Layout,
    nats: &'a Path,
    /// The folder of environments and packages, which each run creates again.
    work: PathBuf,
}

impl Client<'_> {
    fn folder(&self) -> PathBuf {
        self.layout.root.join("clients/python")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.layout.log(&format!("python-client-{name}"))
    }

    /// Creates an environment with the packages of the tests, and without the client.
    fn environment(&self, interpreter: &Interpreter) -> Result<PathBuf> {
        let folder = self.work.join(format!("venv-3.{}", interpreter.minor));
        python::create(self.layout, Packages::Client, &interpreter.program, &folder)
    }

    /// A module of an environment, run in the folder of the client. Neither the module nor Python writes into the checkout.
    fn module(&self, python: &Path, name: &str) -> Run {
        Run::new(name, python).args(["-m", name]).dir(&self.folder()).env("PYTHONDONTWRITEBYTECODE", "1")
    }

    fn lint(&self, python: &Path) -> Result<()> {
        self.module(python, "ruff").args(["format", "--no-cache", "--check", "."]).quiet(&self.log("format"))?;
        self.module(python, "ruff").args(["check", "--no-cache", "."]).quiet(&self.log("lint"))?;
        self.module(python, "mypy").arg("--cache-dir").arg(self.work.join("mypy")).quiet(&self.log("types"))
    }

    /// Builds the source archive, and the wheel from it. Returns the wheel.
    fn build(&self, python: &Path) -> Result<PathBuf> {
        let folder = self.work.join("dist");
        self.module(python, "build").args(["--no-isolation", "--outdir"]).arg(&folder).quiet(&self.log("build"))?;
        let files = fs::read_dir(&folder).context("the folder of the wheel can't be read")?;
        let mut wheels =
            files.flatten().map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "whl"));
        wheels.next().context("the build made no wheel")
    }

    /// Installs the wheel, and runs the tests with it.
    fn test(&self, interpreter: &Interpreter, python: &Path, wheel: &Path) -> Result<()> {
        let version = format!("3.{}", interpreter.minor);
        let log = self.log(&format!("install-{version}"));
        let pip = || self.module(python, "pip").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        pip().args(["install", "--quiet", "--no-deps"]).arg(wheel).quiet(&log)?;
        // the pinned packages are all that the wheel requires
        pip().arg("check").quiet(&log)?;
        self.module(python, "pytest")
            .args(["-p", "no:cacheprovider", "--basetemp"])
            .arg(self.work.join(format!("tests-{version}")))
            .env("PYTHON_CLIENT_INSTALLED", "1")
            .env("SLUICE_BIN", self.layout.sluice(false))
            .env("SLUICE_NATS_SERVER", self.nats)
            .env("SLUICE_FLIGHTS", self.layout.packaged_flights())
            .env("NO_PROXY", no_proxy())
            .quiet(&self.log(&format!("test-{version}")))
            .with_context(|| format!("with Python {version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pythons(minors: &[u32]) -> Vec<Interpreter> {
        minors.iter().map(|minor| Interpreter { minor: *minor, program: PathBuf::new() }).collect()
    }

    #[test]
    fn the_oldest_supported_and_the_newest_python_are_taken() -> Result<()> {
        let (oldest, newest) = oldest_and_newest(pythons(&[8, 10, 11, 13]))?;
        assert_eq!((oldest.minor, newest.minor), (10, 13));
        Ok(())
    }

    #[test]
    fn a_missing_python_is_named() {
        let problem = |minors: &[u32]| oldest_and_newest(pythons(minors)).unwrap_err().to_string();
        assert!(problem(&[11, 13]).starts_with("Python 3.10 is missing"));
        assert!(problem(&[9, 10]).starts_with("a newer Python than 3.10 is missing"));
    }
}
