//! The root of a Debian system in one file: the base image of an engine that can't pull any.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run::{self, Run};

/// The release that images are made of.
const RELEASE: &str = "bookworm";

/// The archive, made once.
pub(crate) fn archive(layout: &Layout) -> Result<PathBuf> {
    let archive = layout.own().join(format!("{RELEASE}.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    if run::on_path("debootstrap").is_none() {
        if !apt::can_install() {
            bail!("debootstrap is missing: install it (Debian: apt install debootstrap)")
        }
        apt::install(layout, "debootstrap")?;
    }
    let work = layout.own().join(format!(".{RELEASE}.{}", std::process::id()));
    let made = make(layout, &work).and_then(|part| fs::rename(part, &archive).context("it can't be put in place"));
    let _ = fs::remove_dir_all(&work);
    made.context("a Debian base can't be made")?;
    Ok(archive)
}

fn make(layout: &Layout, work: &std::path::Path) -> Result<PathBuf> {
    let (root, part) = (work.join("root"), work.join("root.tar"));
    fs::create_dir_all(&root).with_context(|| format!("the folder {} can't be made", root.display()))?;
    Run::new("debootstrap", "debootstrap")
        .args(["--variant=minbase", RELEASE])
        .arg(&root)
        .quiet(&layout.log("debootstrap"))?;
    Run::new("tar", "tar")
        .arg("-C")
        .arg(&root)
        .args(["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*", "-cf"])
        .arg(&part)
        .arg(".")
        .quiet(&layout.log("debootstrap-tar"))?;
    Ok(part)
}
