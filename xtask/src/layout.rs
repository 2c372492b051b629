//! The paths of a checkout.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The folders of one checkout. All paths are absolute.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Layout {
    /// Finds the checkout by the package path that cargo passes, so that a moved checkout works.
    pub(crate) fn of_checkout() -> Self {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().map_or_else(|| package.clone(), Path::to_path_buf);
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(&dir)),
            _ => root.join("target"),
        };
        Self { root, target }
    }

    pub(crate) fn web(&self) -> PathBuf {
        self.root.join("web")
    }

    /// The built page, which `SLUICE_WEB_DIR` names.
    pub(crate) fn page(&self) -> PathBuf {
        self.web().join("app/dist")
    }

    /// The flights from the npm package `vega-datasets`: 3,000,000 rows.
    pub(crate) fn packaged_flights(&self) -> PathBuf {
        self.web().join("node_modules/vega-datasets/data/flights-3m.parquet")
    }

    /// The folder of fetched programs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The folder of stamps, logs and generated data of xtask.
    pub(crate) fn own(&self) -> PathBuf {
        self.target.join("xtask")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.own().join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn sluice(&self, release: bool) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        self.target.join(profile).join(format!("sluice{}", env::consts::EXE_SUFFIX))
    }

    /// The folder of `--data-dir`, or `data/` in the checkout.
    pub(crate) fn data_dir(&self, asked: Option<&Path>) -> Result<PathBuf> {
        match asked {
            Some(dir) => std::path::absolute(dir).with_context(|| format!("--data-dir {} isn't a path", dir.display())),
            None => Ok(self.root.join("data")),
        }
    }
}
