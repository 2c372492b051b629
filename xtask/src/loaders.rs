//! `cargo xtask loaders`: loads real exports with other programs, compares every cell, and writes the table of `docs/loading.md`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::build_stamp::{self, Stamp};
use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::python::{self, Packages};
use crate::tools::{apt, node, postgres};

/// The programs of Debian's packages, each with the package that has it. A program that can't be had is left out of the table.
const PROGRAMS: [(&str, &str); 7] = [
    ("sqlite3", "sqlite3"),
    ("mlr", "miller"),
    ("jq", "jq"),
    ("gawk", "gawk"),
    ("soffice", "libreoffice-calc-nogui"),
    ("java", "default-jre-headless"),
    ("go", "golang-go"),
];
/// The packages of R and Go that the calls use.
const LIBRARIES: [&str; 6] = [
    "r-base-core",
    "r-cran-readr",
    "r-cran-data.table",
    "r-cran-readxl",
    "r-cran-jsonlite",
    "golang-github-tealeg-xlsx-dev",
];

/// Installs the programs, builds sluice, and runs each call of `xtask/python/loaders/calls/`.
///
/// # Errors
/// When sluice, Python, Node or PostgreSQL is missing, or the files can't be made.
pub(crate) fn loaders(layout: &Layout) -> Result<()> {
    let python = python::environment(layout, Packages::Loaders)?;
    let modules = node_modules(layout)?;
    debian(layout);
    Run::cargo("building sluice", &layout.root).args(["build", "--package", "sluice"]).live()?;
    Run::new("loading the exports", python)
        .arg(scripts(layout).join("run.py"))
        .arg("--sluice")
        .arg(layout.sluice(false))
        .arg("--folder")
        .arg(layout.own().join("loaders"))
        .arg("--node-modules")
        .arg(modules)
        .arg("--postgres")
        .arg(postgres::bin(layout)?)
        .arg("--page")
        .arg(layout.root.join("docs/loading.md"))
        .live()
}

fn scripts(layout: &Layout) -> PathBuf {
    layout.root.join("xtask/python/loaders")
}

/// The folder with the Node packages of `package-lock.json`, outside of the checkout.
fn node_modules(layout: &Layout) -> Result<PathBuf> {
    node::check()?;
    let folder = layout.tools().join("node-loaders");
    let stamp = Stamp::new(layout.own().join("node-loaders.stamp"));
    let wanted = build_stamp::of_file(&scripts(layout).join("package-lock.json"))?;
    if !stamp.is(&wanted) || !folder.join("node_modules").is_dir() {
        stamp.clear();
        fs::create_dir_all(&folder).with_context(|| format!("{} can't be created", folder.display()))?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(scripts(layout).join(name), folder.join(name))
                .with_context(|| format!("{name} can't be copied"))?;
        }
        Run::new("npm ci", "npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .dir(&folder)
            .quiet(&layout.log("node-loaders"))?;
        stamp.set(&wanted)?;
    }
    Ok(folder.join("node_modules"))
}

/// Installs missing programs where this is possible, and names those that stay missing.
fn debian(layout: &Layout) {
    let missing_programs =
        PROGRAMS.iter().filter(|(program, _)| run::on_path(program).is_none()).map(|(_, name)| *name);
    let missing_libraries = LIBRARIES.into_iter().filter(|name| !is_installed(name));
    for package in missing_programs.chain(missing_libraries).collect::<Vec<_>>() {
        if !apt::can_install() {
            println!("{package} is missing, and its calls are left out");
        } else if let Err(problem) = apt::install(layout, package) {
            println!("{package} can't be installed, and its calls are left out: {problem}");
        }
    }
}

fn is_installed(package: &str) -> bool {
    Path::new("/var/lib/dpkg/info").join(format!("{package}.list")).exists()
}
