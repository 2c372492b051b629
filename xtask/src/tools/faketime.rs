//! Finds libfaketime, which gives a process a wrong clock, or unpacks Debian's package.

use std::env;
use std::path::{Path, PathBuf};

use super::apt;
use crate::layout::Layout;

const NAMED_BY: &str = "SLUICE_FAKETIME";
/// The library in Debian's package, below `/` or the folder of unpacked files.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The variable that names the library, for a storm with wrong clocks. Without the library, prints a line and leaves it out.
pub(crate) fn env(layout: &Layout) -> Option<(&'static str, PathBuf)> {
    let named = env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from);
    let found = named.or_else(|| find(Path::new("/"))).or_else(|| {
        let unpacked = apt::can_unpack().then(|| apt::unpacked(layout, "libfaketime"))?;
        unpacked.ok().and_then(|folder| find(&folder))
    });
    if found.is_none() {
        eprintln!("libfaketime is missing (Debian: apt install libfaketime): the clocks stay right");
    }
    found.map(|library| (NAMED_BY, library))
}

fn find(root: &Path) -> Option<PathBuf> {
    let folder = root.join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH)).join(LIBRARY);
    folder.is_file().then_some(folder)
}
