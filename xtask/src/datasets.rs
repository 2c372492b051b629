//! Files under `<data-dir>/datasets/`. Each appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::tpchgen;

/// The folder of file datasets in a data folder.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("datasets")
}

/// Puts the flights into a data folder that has none. Needs the page's packages, which bring them.
pub(crate) fn flights(layout: &Layout, data_dir: &Path) -> Result<()> {
    let place = folder(data_dir).join("flights.parquet");
    if place.exists() {
        return Ok(());
    }
    let source = layout.packaged_flights();
    if !source.exists() {
        bail!("the flights aren't among the page's packages: remove web/node_modules and start again")
    }
    run::make_parent(&place)?;
    let part = folder(data_dir).join(format!(".flights.{}.part", std::process::id()));
    fs::copy(&source, &part)
        .and_then(|_| fs::rename(&part, &place))
        .with_context(|| format!("{} can't be written", place.display()))
}

/// Makes `lineitem` and `orders` at a scale in a folder, in place of those that may be there.
pub(crate) fn tpch(layout: &Layout, scale: f64, folder: &Path) -> Result<()> {
    let program = tpchgen::program(layout)?;
    let part = folder.join(format!(".tpch.{}.part", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("the folder {} can't be made", part.display()))?;
    let made = Run::new("tpchgen-cli", program)
        .args(["parquet", "--tables", "lineitem,orders", "--scale-factor", &scale.to_string(), "--output-dir"])
        .arg(&part)
        .quiet(&layout.log("tpchgen"))
        .and_then(|()| {
            for name in ["lineitem.parquet", "orders.parquet"] {
                let place = folder.join(name);
                fs::rename(part.join(name), &place).with_context(|| format!("{} can't be written", place.display()))?;
            }
            Ok(())
        });
    let _ = fs::remove_dir_all(&part);
    made
}
