//! Installs or unpacks Debian and Ubuntu packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::layout::Layout;
use crate::run::{self, Run};

/// Whether packages can be installed: this needs apt-get and root.
pub(crate) fn can_install() -> bool {
    run::on_path("apt-get").is_some() && nix::unistd::geteuid().is_root()
}

pub(crate) fn install(layout: &Layout, package: &str) -> Result<()> {
    println!("{package} is missing; installing it with apt");
    let log = layout.log(&format!("apt-{package}"));
    apt(&log, "apt-get update", &["update", "-qq"])?;
    // A package may fail to start its service in a container, and its files are installed all the same.
    let installed = apt(&log, &format!("apt-get install {package}"), &["install", "-y", "-qq", package]);
    installed.or_else(|problem| {
        if Path::new("/var/lib/dpkg/info").join(format!("{package}.list")).exists() { Ok(()) } else { Err(problem) }
    })
}

/// Whether packages can be unpacked: this needs apt-get and dpkg-deb, but no root.
pub(crate) fn can_unpack() -> bool {
    ["apt-get", "dpkg-deb"].iter().all(|name| run::on_path(name).is_some())
}

/// The folder with a package's unpacked files. The package is fetched once, and apt checks its signature.
pub(crate) fn unpacked(layout: &Layout, package: &str) -> Result<PathBuf> {
    let folder = layout.tools().join(format!("debian-{package}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    println!("{package} is missing; fetching it with apt");
    let log = layout.log(&format!("apt-{package}"));
    let work = layout.tools().join(format!(".debian-{package}.{}", std::process::id()));
    let fetched = unpack(&log, package, &work).and_then(|files| {
        // Another run may have created the folder meanwhile, with the same files.
        if folder.is_dir() { Ok(()) } else { fs::rename(files, &folder).context("it can't be put in place") }
    });
    let _ = fs::remove_dir_all(&work);
    fetched.with_context(|| format!("Debian's {package} can't be fetched"))?;
    Ok(folder)
}

fn unpack(log: &Path, package: &str, work: &Path) -> Result<PathBuf> {
    fs::create_dir_all(work).with_context(|| format!("the folder {} can't be created", work.display()))?;
    if nix::unistd::geteuid().is_root() {
        apt(log, "apt-get update", &["update", "-qq"])?;
    }
    // apt's sandbox user may lack the right to write below a home folder.
    Run::new(format!("apt-get download {package}"), "apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root", package])
        .dir(work)
        .quiet(log)?;
    let archives = fs::read_dir(work).context("apt's folder can't be read")?.flatten().map(|entry| entry.path());
    let archive = archives.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
    let archive = archive.context("apt brought no package")?;
    let files = work.join("files");
    Run::new("dpkg-deb", "dpkg-deb").arg("-x").arg(archive).arg(&files).quiet(log)?;
    Ok(files)
}

fn apt(log: &Path, what: &str, args: &[&str]) -> Result<()> {
    Run::new(what, "apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").quiet(log)
}
