//! Creates the root of a Debian system as one archive: the base image for an engine without a registry.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run::{self, Run};

/// The Debian release of the images.
const RELEASE: &str = "bookworm";

/// The path of the archive, which is created once.
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
    made.context("a Debian base can't be created")?;
    Ok(archive)
}

fn make(layout: &Layout, work: &std::path::Path) -> Result<PathBuf> {
    let (root, part) = (work.join("root"), work.join("root.tar"));
    fs::create_dir_all(&root).with_context(|| format!("the folder {} can't be created", root.display()))?;
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
