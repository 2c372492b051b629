//! `cargo xtask bench`: measures Sluice and its peers on the same data, in one run on one machine.

use anyhow::Result;

use crate::args::BenchOptions;
use crate::layout::Layout;
use crate::run::Run;
use crate::tools::postgres;
use crate::tools::python::{self, Packages};
use crate::{datasets, web};

/// TPC-H at this scale has 6 million rows of `lineitem`.
const SCALE: u32 = 1;

pub(crate) fn bench(layout: &Layout, options: &BenchOptions) -> Result<()> {
    let python = python::environment(layout, Packages::Peers)?;
    web::install(layout)?;
    let folder = layout.own().join("tpch").join(format!("scale{SCALE}"));
    let lineitem = folder.join("lineitem.parquet");
    if !lineitem.exists() {
        datasets::tpch(layout, f64::from(SCALE), &folder)?;
    }
    Run::cargo("building the exporter", &layout.root)
        .args(["build", "--release", "--package", "exporter", "--example", "measure"])
        .live()?;
    Run::new("the benchmark", python)
        .arg(layout.root.join("bench/compare.py"))
        .arg("--measure")
        .arg(layout.target.join("release/examples/measure"))
        .arg("--flights")
        .arg(layout.packaged_flights())
        .arg("--lineitem")
        .arg(lineitem)
        .arg("--postgres")
        .arg(postgres::bin(layout)?)
        .arg("--folder")
        .arg(layout.own().join("bench"))
        .args(["--runs", &options.runs.to_string()])
        .live()
}
