//! Signs in through the published port, and checks the digests of exported files.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::http::{self, Client};
use super::images;
use super::stack::Stack;
use crate::build_stamp;

/// The rows of the demo's flights.
const FLIGHTS: u64 = 3_000_000;
/// The longest wait for one export: two attempts at a workbook of all flights on a busy machine.
const WITHIN: Duration = Duration::from_secs(1200);

/// Requests an export over REST and returns its id.
pub(super) fn ask(client: &Client, body: &str) -> Result<String> {
    let export = client.json("POST", "/v1/exports", body, 202)?;
    Ok(http::text(&export, "id").context("an export without an id")?.to_owned())
}

/// Waits for the end of an export, fetches its file, and compares it with the seal. Returns the number of rows.
pub(super) fn whole(client: &Client, id: &str) -> Result<u64> {
    let export = images::until(&format!("the end of export {id}"), WITHIN, || {
        let export = client.get(&format!("/v1/exports/{id}"))?;
        match http::text(&export, "status") {
            Some("completed") => Ok(Some(export)),
            Some("queued" | "dispatched" | "running") => Ok(None),
            _ => bail!("the export ended otherwise: {export}"),
        }
    })?;
    let file = export.split_once("\"file\":{").map(|(_, file)| file).context("a completed export without a file")?;
    let (size, digest) = client.digest(&format!("/v1/exports/{id}/file"))?;
    if http::number(file, "size") != Some(size) || http::text(file, "sha256") != Some(&digest) {
        bail!("{size} bytes came, of SHA-256 {digest}; the export says {file}")
    }
    http::number(file, "rows").context("a file without a number of rows")
}

/// Exports over the socket with `sluice export`, and over REST.
pub(super) fn through_the_port(stack: &Stack<'_>) -> Result<()> {
    let client = Client::sign_in(stack.port, "alice")?;
    let page = client.get("/")?;
    if !page.contains("<html") {
        bail!("the page isn't there: {page:.200}")
    }
    let folder = stack.layout.own().join("containers");
    fs::create_dir_all(&folder).with_context(|| format!("the folder {} can't be created", folder.display()))?;
    let file = folder.join("flights.csv");
    // an outside client on the host's network, with an address and a token
    let said = stack
        .engine
        .run("sluice export")
        .args(["run", "--rm", "--network=host", "--user=0", "--volume", &format!("{}:/out", folder.display())])
        .args(["--env", &format!("SLUICE_TOKEN={}", client.token())])
        .args([&images::name("sluice"), "export", "flights", "--json", "--output", "/out/flights.csv"])
        .args(["--url", &format!("http://127.0.0.1:{}", stack.port)])
        .output()?;
    let digest = build_stamp::of_file(&file)?;
    fs::remove_file(&file).with_context(|| format!("{} can't be removed", file.display()))?;
    if http::text(&said, "sha256") != Some(&digest) || http::number(&said, "rows") != Some(FLIGHTS) {
        bail!("the file has SHA-256 {digest}; the export says {said}")
    }
    let id = ask(&client, r#"{"dataset":"flights","filter":{"origin":{"eq":"SEA"}}}"#)?;
    match whole(&client, &id)? {
        0 => bail!("no flight starts in Seattle"),
        _ => Ok(()),
    }
}
