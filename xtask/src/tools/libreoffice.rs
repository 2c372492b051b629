//! Finds LibreOffice for the heavy tests, or installs Debian's package without a GUI.

use anyhow::{Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run;

/// Installs LibreOffice unless `soffice` is on the PATH.
pub(crate) fn ensure(layout: &Layout) -> Result<()> {
    if run::on_path("soffice").is_some() {
        return Ok(());
    }
    if apt::can_install() {
        apt::install(layout, "libreoffice-calc-nogui")?;
        if run::on_path("soffice").is_some() {
            return Ok(());
        }
    }
    bail!("LibreOffice is missing: install it (Debian: apt install libreoffice-calc-nogui)")
}
