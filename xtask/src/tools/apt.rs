//! Debian and Ubuntu packages, for the programs that tests need and that can't be put into the target folder.

use std::path::Path;

use anyhow::Result;

use crate::layout::Layout;
use crate::run::{self, Run};

/// Installing needs apt-get and root.
pub(crate) fn can_install() -> bool {
    run::on_path("apt-get").is_some() && nix::unistd::geteuid().is_root()
}

pub(crate) fn install(layout: &Layout, package: &str) -> Result<()> {
    println!("{package} is missing; installing it with apt");
    let log = layout.log(&format!("apt-{package}"));
    apt(&log, "apt-get update", &["update", "-qq"])?;
    // The package's own start-up of a service may fail in a container; the files are what is wanted.
    let installed = apt(&log, &format!("apt-get install {package}"), &["install", "-y", "-qq", package]);
    installed.or_else(|problem| {
        if Path::new("/var/lib/dpkg/info").join(format!("{package}.list")).exists() { Ok(()) } else { Err(problem) }
    })
}

fn apt(log: &Path, what: &str, args: &[&str]) -> Result<()> {
    Run::new(what, "apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").quiet(log)
}
