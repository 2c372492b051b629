//! `cargo xtask data`: generated datasets of any size.

use std::time::Instant;

use anyhow::Result;

use crate::args::DataOptions;
use crate::datasets;
use crate::layout::Layout;
use crate::web;

pub(crate) fn data(layout: &Layout, options: &DataOptions) -> Result<()> {
    let data_dir = layout.data_dir(options.data_dir.as_deref())?;
    let folder = datasets::folder(&data_dir);
    let started = Instant::now();
    datasets::tpch(layout, options.scale, &folder)?;
    web::install(layout)?;
    datasets::seed(layout, &data_dir)?;
    println!("scale {} took {:.1} s:", options.scale, started.elapsed().as_secs_f64());
    for name in ["lineitem.parquet", "orders.parquet"] {
        let path = folder.join(name);
        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        println!("  {} ({:.1} MB)", path.display(), bytes as f64 / 1e6);
    }
    Ok(())
}
