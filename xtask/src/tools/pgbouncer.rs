//! Finds PgBouncer, the connection pooler through which tests read PostgreSQL, or installs Debian's package.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::apt;
use crate::layout::Layout;
use crate::run;

const NAMED_BY: &str = "SLUICE_PGBOUNCER";
/// Debian's package has the program outside of the usual PATH.
const SBIN: &str = "/usr/sbin/pgbouncer";

/// The path of `pgbouncer`.
pub(crate) fn program(layout: &Layout) -> Result<PathBuf> {
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
        apt::install(layout, "pgbouncer")?;
        if let Some(path) = find() {
            return Ok(path);
        }
    }
    bail!("PgBouncer is missing: install it (Debian: apt install pgbouncer), or name one with {NAMED_BY}")
}

fn find() -> Option<PathBuf> {
    let sbin = Path::new(SBIN);
    run::on_path("pgbouncer").or_else(|| run::is_program(sbin).then(|| sbin.to_path_buf()))
}
