//! tpchgen-cli, which generates TPC-H data of any size: the pinned wheel, else the same release built from source.

use std::path::PathBuf;

use anyhow::Result;

use super::version::Version;
use super::wheel::{self, Wheel};
use crate::layout::Layout;
use crate::run::{self, Run};

pub(crate) const WHEEL: Wheel = Wheel {
    package: "tpchgen-cli",
    version: Version(4, 0, 0),
    pins: &[
        ("linux", "x86_64", "19ee231140c9e8cc4caf981cc166186c638e11a33744e3d32cff5bd7f2ba44a2"),
        ("linux", "aarch64", "ef02a06ad5e17448acf64979fbdf8fa484133df863e2749516a4dc29c55df00b"),
        ("macos", "x86_64", "04260113d9ff7f63dd6defac059c176ed225a93fd53b67460065b6b544935512"),
        ("macos", "aarch64", "e6883a74e88607322462f1cdc9d2864dc948ecf2f25d235969dd3020887e6f5b"),
    ],
};

pub(crate) fn program(layout: &Layout) -> Result<PathBuf> {
    if WHEEL.pin().is_some() {
        let folder = WHEEL.unpacked(layout)?;
        let path = folder.join(format!("tpchgen_cli-{}.data/scripts/tpchgen-cli", WHEEL.version));
        wheel::make_program(&path)?;
        return Ok(path);
    }
    let root = layout.tools().join(format!("tpchgen-cli-{}-built", WHEEL.version));
    let path = root.join("bin/tpchgen-cli");
    if !run::is_program(&path) {
        println!("building tpchgen-cli {}, which takes several minutes, once", WHEEL.version);
        Run::cargo("installing tpchgen-cli", &layout.root)
            .args(["install", "tpchgen-cli", "--locked", "--version", &WHEEL.version.to_string(), "--root"])
            .arg(&root)
            .arg("--target-dir")
            .arg(layout.tools().join("build"))
            .live()?;
    }
    Ok(path)
}
