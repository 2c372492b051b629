//! Debian and Ubuntu packages, for the programs that tests need and that can't be put into the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

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

/// Unpacking needs neither root nor a free port: nothing of the package runs.
pub(crate) fn can_unpack() -> bool {
    ["apt-get", "dpkg-deb"].iter().all(|name| run::on_path(name).is_some())
}

/// The folder with a package's files, for a program of which only the file is wanted. Fetched once; apt checks the
/// archive's signature.
pub(crate) fn unpacked(layout: &Layout, package: &str) -> Result<PathBuf> {
    let folder = layout.tools().join(format!("debian-{package}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    println!("{package} is missing; fetching it with apt");
    let log = layout.log(&format!("apt-{package}"));
    let work = layout.tools().join(format!(".debian-{package}.{}", std::process::id()));
    let fetched = unpack(&log, package, &work).and_then(|files| {
        // Another run may have been quicker; its files are the same.
        if folder.is_dir() { Ok(()) } else { fs::rename(files, &folder).context("it can't be put in place") }
    });
    let _ = fs::remove_dir_all(&work);
    fetched.with_context(|| format!("Debian's {package} can't be fetched"))?;
    Ok(folder)
}

fn unpack(log: &Path, package: &str, work: &Path) -> Result<PathBuf> {
    fs::create_dir_all(work).with_context(|| format!("the folder {} can't be made", work.display()))?;
    if nix::unistd::geteuid().is_root() {
        apt(log, "apt-get update", &["update", "-qq"])?;
    }
    // Its sandbox user may not be able to write below a home folder; without root it isn't used anyway.
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
