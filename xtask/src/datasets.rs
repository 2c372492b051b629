//! The demo and benchmark data under `<data-dir>/datasets/`. Each file appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::tpchgen;

/// The folder of dataset files in a data folder: `exporter.datasets_dir` of `sluice up`.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("datasets")
}

/// The catalog of the demo in a data folder.
pub(crate) fn catalog(data_dir: &Path) -> PathBuf {
    folder(data_dir).join("catalog.toml")
}

/// Fills a data folder with the demo (`ops/demo/seed.py`). The page's packages must be installed: they contain the flights.
pub(crate) fn seed(layout: &Layout, data_dir: &Path) -> Result<()> {
    let flights = layout.packaged_flights();
    if !flights.exists() {
        bail!("the flights aren't among the page's packages: remove web/node_modules and start again")
    }
    if run::on_path("python3").is_none() {
        bail!("Python 3 is missing: install python3 with pip and venv (3.11 is known to work)")
    }
    Run::new("loading the demo data", "python3")
        .arg(layout.root.join("ops/demo/seed.py"))
        .arg(folder(data_dir))
        .arg("--flights")
        .arg(&flights)
        .quiet(&layout.log("seed"))
}

/// Generates `lineitem` and `orders` at a scale in a folder, and replaces earlier ones.
pub(crate) fn tpch(layout: &Layout, scale: f64, folder: &Path) -> Result<()> {
    let program = tpchgen::program(layout)?;
    let part = folder.join(format!(".tpch.{}.part", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("the folder {} can't be created", part.display()))?;
    let made = Run::new("tpchgen-cli", program)
        .args(["parquet", "--tables", "lineitem,orders", "--scale-factor", &scale.to_string(), "--output-dir"])
        .arg(&part)
        .quiet(&layout.log("tpchgen"))
        .and_then(|()| {
            for name in ["lineitem.parquet", "orders.parquet"] {
                let target = folder.join(name);
                fs::rename(part.join(name), &target)
                    .with_context(|| format!("{} can't be written", target.display()))?;
            }
            Ok(())
        });
    let _ = fs::remove_dir_all(&part);
    made
}
