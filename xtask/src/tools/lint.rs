//! The programs of `cargo xtask lint-ops`: from pinned packages, else from the PATH.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::python::{self, Packages};
use crate::layout::Layout;
use crate::run::{self, Run};

/// The Python environments of the checks.
#[derive(Debug)]
pub(crate) struct Linters {
    programs: PathBuf,
    checkers: PathBuf,
}

impl Linters {
    /// Installs the missing packages.
    pub(crate) fn ensure(layout: &Layout) -> Result<Self> {
        let folder = |packages| -> Result<PathBuf> {
            let python = python::environment(layout, packages)?;
            Ok(python.parent().map_or_else(PathBuf::new, Path::to_path_buf))
        };
        Ok(Self { programs: folder(Packages::Programs)?, checkers: folder(Packages::Checkers)? })
    }

    /// The path of a program, from the packages or the PATH.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let packaged = self.programs.join(name);
        if run::is_program(&packaged) {
            return Ok(packaged);
        }
        run::on_path(name)
            .with_context(|| format!("{name} is missing: there is no package of it for this machine; install it"))
    }

    /// The path of Docker Compose. Its package's command hides exit codes, so this is the program inside the package.
    pub(crate) fn compose(&self) -> Result<PathBuf> {
        let site = Run::new("Python", self.programs.join("python"))
            .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
            .output()?;
        let packaged = Path::new(site.trim()).join("compose/docker-compose");
        if run::is_program(&packaged) {
            return Ok(packaged);
        }
        run::on_path("docker-compose").context("docker-compose is missing: there is no package of it for this machine")
    }

    /// A command of the checkers' environment, such as `yamllint`.
    pub(crate) fn checker(&self, name: &str) -> PathBuf {
        self.checkers.join(name)
    }
}
