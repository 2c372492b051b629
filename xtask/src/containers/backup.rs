//! Scheduled and manual backups, and a restore after the servers lost their data.

use anyhow::{Context as _, Result, bail};

use super::deliver::{ask, whole};
use super::http::{self, Client};
use super::stack::{PROJECT, Stack};

/// The path of the backup volume in the containers.
const FOLDER: &str = "/var/lib/sluice/backups";
/// The volumes of the servers, without the volume of backups.
const LOST: [&str; 3] = ["nats", "postgres", "s3"];

/// Makes a backup by a notifier and one by hand, and verifies the newest.
pub(super) fn check_backups(stack: &Stack<'_>) -> Result<()> {
    stack.tool("sluice", &["schedule", "run", "backup", "--wait"]).output()?;
    let first = newest(stack)?;
    stack.tool("backup", &[]).output()?;
    let second = newest(stack)?;
    if first == second { bail!("the backup by hand isn't there: the newest is {first}") } else { Ok(()) }
}

/// Follows docs/containers.md: stops everything, deletes the servers' volumes, restores, and compares exports and credits.
pub(super) fn check_restore(stack: &Stack<'_>) -> Result<()> {
    let client = Client::sign_in(stack.port, "alice")?;
    let id = ask(&client, r#"{"dataset":"flights","filter":{"origin":{"eq":"BOS"}}}"#)?;
    let rows = whole(&client, &id)?;
    let credits = client.get("/v1/credits")?;
    stack.tool("backup", &[]).output()?;

    stack.ends(&[], &[])?;
    for volume in LOST {
        stack.engine.run("docker volume rm").args(["volume", "rm", &format!("{PROJECT}_{volume}")]).output()?;
    }
    let log = stack.layout.log("compose-up");
    stack.compose().args(["up", "--detach", "--no-build", "--wait", "nats", "postgres", "s3"]).quiet(&log)?;
    let bucket = "echo s3.bucket.create -name sluice | weed shell";
    stack.compose().args(["exec", "-T", "s3", "sh", "-c", bucket]).output()?;
    stack.tool("restore", &[FOLDER, "--yes"]).output()?;
    stack.up(&["exporter=1", "gateway=1", "notifier=1"])?;

    let client = Client::sign_in(stack.port, "alice")?;
    let again = whole(&client, &id)?;
    let balance = |credits: &str| http::number(credits, "balance").context("credits without a balance");
    let (before, after) = (balance(&credits)?, balance(&client.get("/v1/credits")?)?);
    println!("   {again} of {rows} rows, {after} of {before} credits");
    if (again, after) == (rows, before) { Ok(()) } else { bail!("not everything came back") }
}

fn newest(stack: &Stack<'_>) -> Result<String> {
    let verified = stack.tool("backup", &["verify", "--json"]).output()?;
    let id = http::text(&verified, "id").with_context(|| format!("the backup can't be verified: {verified}"))?;
    Ok(id.to_owned())
}
