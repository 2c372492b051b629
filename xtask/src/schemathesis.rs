//! `cargo xtask schemathesis`: generated requests by the OpenAPI document of a running Sluice.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::browser::{free_port, stop, until_ready};
use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::nats;
use crate::tools::python::{self, Packages};
use crate::{datasets, web};

/// The number of generated requests for each operation; with those of sequences they are more than 5,000.
const EXAMPLES: &str = "350";
/// The requests that are sent at the same time: one, so that no request deletes the file that another one downloads.
const WORKERS: &str = "1";
/// No request takes this long, in seconds.
const REQUEST_TIMEOUT: &str = "60";
/// Exports cost credits, and generated requests must not run out of them.
const CREDITS: &str = "1000000";

/// Builds Sluice and the demo data, and runs the check.
pub(crate) fn schemathesis(layout: &Layout) -> Result<()> {
    let server = nats::server(layout)?;
    web::install(layout)?;
    Run::cargo("cargo build", &layout.root).args(["build", "--package", "sluice"]).live()?;
    check(layout, &server)
}

/// Starts Sluice with the demo, and sends it requests with all checks of schemathesis.
pub(crate) fn check(layout: &Layout, nats: &Path) -> Result<()> {
    let data_dir = layout.own().join(format!("schemathesis-{}", std::process::id()));
    let checked = with_data(layout, nats, &data_dir);
    let removed = fs::remove_dir_all(&data_dir);
    checked?;
    removed.with_context(|| format!("{} can't be removed", data_dir.display()))
}

fn with_data(layout: &Layout, nats: &Path, data_dir: &Path) -> Result<()> {
    let python = python::environment(layout, Packages::Schemathesis)?;
    datasets::seed(layout, data_dir)?;
    let port = free_port()?;
    let log = layout.log("schemathesis-sluice");
    let mut sluice = Run::new("Sluice", layout.sluice(false))
        .args(["up", "--port", &port.to_string(), "--data-dir"])
        .arg(data_dir)
        .arg("--catalog")
        .arg(datasets::catalog(data_dir))
        .env("SLUICE_NATS_SERVER", nats)
        .env("SLUICE_CREDITS__INITIAL_BALANCE", CREDITS)
        .spawn_quiet(&log)?;
    let checked = until_ready(&mut sluice, port).and_then(|()| send_requests(layout, &python, data_dir, port));
    let stopped = stop(&mut sluice);
    if checked.is_err() || stopped.is_err() {
        run::show(&log);
    }
    checked.and(stopped)
}

fn send_requests(layout: &Layout, python: &Path, data_dir: &Path, port: u16) -> Result<()> {
    let token = Run::new("sluice token", layout.sluice(false))
        .args(["token", "--sub", "alice", "--tenant", "acme", "--data-dir"])
        .arg(data_dir)
        .output()?;
    Run::new("schemathesis", python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(layout.root.join("xtask/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://127.0.0.1:{port}/v1/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", "all", "--continue-on-failure", "--max-examples", EXAMPLES, "--workers", WORKERS])
        .args(["--request-timeout", REQUEST_TIMEOUT, "--generation-database", "none"])
        // cassettes and reports stay out of the checkout
        .dir(data_dir)
        .live()
}
