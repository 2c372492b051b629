//! Finds Chromium for the browser test, or installs Debian's package.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run;

const NAMED_BY: &str = "CHROMIUM_PATH";
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const ON_A_MAC: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

pub(crate) fn browser(layout: &Layout) -> Result<PathBuf> {
    if let Some(path) = env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from) {
        if run::is_program(&path) {
            return Ok(path);
        }
        bail!("{NAMED_BY} names {}, which isn't a program", path.display())
    }
    if let Some(path) = find() {
        return Ok(path);
    }
    if apt::can_install() {
        apt::install(layout, "chromium")?;
        if let Some(path) = find() {
            return Ok(path);
        }
    }
    bail!("Chromium is missing: install it (Debian: apt install chromium), or name one with {NAMED_BY}")
}

fn find() -> Option<PathBuf> {
    let mac = PathBuf::from(ON_A_MAC);
    NAMES.iter().find_map(|name| run::on_path(name)).or_else(|| run::is_program(&mac).then_some(mac))
}
