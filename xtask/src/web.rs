//! Installs the page's packages and builds the page, only when their inputs changed.

use std::fs;

use anyhow::Result;

use crate::build_stamp::{self, Stamp};
use crate::layout::Layout;
use crate::run::Run;
use crate::tools::node;

/// The inputs of the page's build, under `web/`.
const SOURCES: [&str; 8] =
    ["client", "app", "element", "react", "package.json", "package-lock.json", "tsconfig.base.json", ".npmrc"];

/// Installs the packages that `package-lock.json` names. Returns whether it did anything.
pub(crate) fn install(layout: &Layout) -> Result<bool> {
    let node = node::check()?;
    let lock = build_stamp::of_file(&layout.web().join("package-lock.json"))?;
    // Some packages contain code that is built for one major version of Node.
    let wanted = format!("{lock} node {}", node.0);
    let stamp = Stamp::new(layout.own().join("npm-ci.stamp"));
    if stamp.is(&wanted) && layout.packaged_flights().exists() {
        return Ok(false);
    }
    stamp.clear();
    npm(layout, "ci", &["ci", "--no-fund", "--no-audit"])?;
    stamp.set(&wanted)?;
    Ok(true)
}

/// Builds the page into `web/app/dist`. Returns whether it did anything.
pub(crate) fn build(layout: &Layout) -> Result<bool> {
    let wanted = build_stamp::of_sources(&layout.web(), &SOURCES)?;
    let stamp = Stamp::new(layout.own().join("npm-build.stamp"));
    if stamp.is(&wanted) && fs::exists(layout.page().join("index.html")).unwrap_or(false) {
        return Ok(false);
    }
    stamp.clear();
    script(layout, "build")?;
    stamp.set(&wanted)?;
    Ok(true)
}

/// Runs a script of `web/package.json`.
pub(crate) fn script(layout: &Layout, name: &str) -> Result<()> {
    npm(layout, name, &["run", name])
}

fn npm(layout: &Layout, name: &str, args: &[&str]) -> Result<()> {
    let what = format!("npm {}", args[..args.len().min(2)].join(" "));
    let what = if name == "ci" { "npm ci".to_owned() } else { what };
    Run::new(what, "npm").args(args).dir(&layout.web()).quiet(&layout.log(&format!("npm-{name}")))
}
