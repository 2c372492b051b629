//! `cargo xtask schemathesis`: generated requests by the OpenAPI document of a running Sluice.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::browser::{free_port, stop, until_ready};
use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::nats;
use crate::tools::python::{self, Packages};
use crate::{datasets, web};

/// The number of generated requests for each operation; with those of sequences they are more than 5,000.
const EXAMPLES: &str = "350";
/// The minimum number of requests. With fewer requests, the check fails.
const MIN_REQUESTS: u64 = 5_000;
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
    let report = data_dir.join("schemathesis.json");
    Run::new("schemathesis", python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(layout.root.join("xtask/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://127.0.0.1:{port}/v1/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", "all", "--continue-on-failure", "--max-examples", EXAMPLES, "--workers", WORKERS])
        .args(["--request-timeout", REQUEST_TIMEOUT, "--generation-database", "none"])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        // cassettes and reports stay out of the checkout
        .dir(data_dir)
        .live()?;
    let text = fs::read_to_string(&report).with_context(|| format!("{} can't be read", report.display()))?;
    let count = checked_requests(&text)?;
    println!("   {count} generated requests, no finding");
    Ok(())
}

/// Returns the number of requests whose responses were checked, from the JSON report of schemathesis.
///
/// # Errors
/// When they are fewer than [`MIN_REQUESTS`], an operation was not tested, or the report has another form.
fn checked_requests(report: &str) -> Result<u64> {
    let report: Value = serde_json::from_str(report).context("the report of schemathesis is no JSON")?;
    let number = |pointer: &str| {
        report.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("the report has no {pointer}"))
    };
    let (total, tested) = (number("/operations/total")?, number("/operations/tested")?);
    if tested < total {
        bail!("schemathesis tested {tested} of {total} operations");
    }
    let count = number("/test_cases/generated")?
        .saturating_sub(number("/test_cases/without_checks")?)
        .saturating_sub(number("/test_cases/errored")?);
    if count < MIN_REQUESTS {
        bail!("schemathesis checked the responses to {count} requests, and must check {MIN_REQUESTS}");
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tested: u64, generated: u64, errored: u64) -> String {
        serde_json::json!({
            "operations": {"total": 13, "tested": tested},
            "test_cases": {"generated": generated, "without_checks": 0, "errored": errored},
        })
        .to_string()
    }

    #[test]
    fn a_run_of_too_few_requests_or_operations_fails() {
        assert_eq!(checked_requests(&report(13, MIN_REQUESTS + 7, 0)).unwrap(), MIN_REQUESTS + 7);
        for (wrong, why) in [
            (report(13, MIN_REQUESTS - 1, 0), "must check 5000"),
            (report(13, MIN_REQUESTS, 1), "must check 5000"),
            (report(12, MIN_REQUESTS, 0), "12 of 13 operations"),
            ("{}".to_owned(), "/operations/total"),
        ] {
            assert!(checked_requests(&wrong).unwrap_err().to_string().contains(why), "{wrong}");
        }
    }
}
