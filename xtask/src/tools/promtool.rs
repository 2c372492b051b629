//! promtool, which checks and tests the alert rules: the one of `SLUICE_PROMTOOL` or the PATH, else from Debian's package of
//! Prometheus, which is unpacked and not installed.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run;

const NAMED_BY: &str = "SLUICE_PROMTOOL";
const HOW: &str = "install it (Debian: apt install prometheus), or name one with SLUICE_PROMTOOL";

/// The path of `promtool`.
pub(crate) fn program(layout: &Layout) -> Result<PathBuf> {
    if let Some(path) = env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from) {
        if run::is_program(&path) {
            return Ok(path);
        }
        bail!("{NAMED_BY} names {}, which isn't a program", path.display())
    }
    if let Some(path) = run::on_path("promtool") {
        return Ok(path);
    }
    if !apt::can_unpack() {
        bail!("promtool is missing: {HOW}")
    }
    let path = apt::unpacked(layout, "prometheus")?.join("usr/bin/promtool");
    if run::is_program(&path) { Ok(path) } else { bail!("Debian's prometheus has no promtool: {HOW}") }
}
