//! Several instances of each service share the work, and a stopped or killed one loses nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::deliver::{ask, whole};
use super::http::Client;
use super::images;
use super::stack::{Container, Stack};

/// Airports; each is the filter of one export.
const ORIGINS: [&str; 12] = ["SEA", "JFK", "LAX", "ORD", "ATL", "DFW", "DEN", "PHX", "LAS", "MSP", "BOS", "DTW"];
/// A workbook of all flights takes long enough to be interrupted.
const LONG: &str = r#"{"dataset":"flights","format":"xlsx"}"#;
const FLIGHTS: u64 = 3_000_000;
const WITHIN: Duration = Duration::from_secs(60);

pub(super) fn among_three(stack: &Stack<'_>) -> Result<()> {
    stack.up(&["exporter=3", "gateway=2", "notifier=2"])?;
    for (service, wanted) in [("exporter", 3), ("gateway", 2), ("notifier", 2)] {
        let running = stack.containers(&[service])?.len();
        if running != wanted {
            bail!("{running} of {wanted} containers of {service} run")
        }
    }
    stack.tool("sluice", &["credits", "grant", "--sub", "alice", "--tenant", "acme", "--amount", "40"]).output()?;
    let client = Client::sign_in(stack.port, "alice")?;
    let ids = ORIGINS
        .iter()
        .map(|origin| ask(&client, &format!(r#"{{"dataset":"flights","filter":{{"origin":{{"eq":"{origin}"}}}}}}"#)))
        .collect::<Result<Vec<_>>>()?;
    for id in &ids {
        whole(&client, id)?;
    }
    let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    let workers = stack.sql(&format!("select distinct worker from export where id in ({list})"))?;
    let workers: BTreeSet<&str> = workers.lines().collect();
    println!("   {} exports were made by {} exporters", ids.len(), workers.len());
    if workers.len() == 3 { Ok(()) } else { bail!("of three exporters these worked: {workers:?}") }
}

/// Stops and then kills an exporter in the middle of a file, and checks that another exporter completes it.
pub(super) fn survives(stack: &Stack<'_>) -> Result<()> {
    let client = Client::sign_in(stack.port, "alice")?;
    for end in ["stop", "kill"] {
        let id = ask(&client, LONG)?;
        let worker = images::until("an exporter takes the job", WITHIN, || running(stack, &id))?;
        let container = container_of(stack, &worker)?;
        stack.engine.run("docker").args([end, &container.id]).output()?;
        let rows = whole(&client, &id)?;
        let other = stack.sql(&format!("select worker from export where id = '{id}'"))?;
        println!("   {end}: {worker} had it, {other} made {rows} rows");
        if rows != FLIGHTS || other == worker {
            bail!("after `docker {end}` of {worker}: {rows} rows, made by {other}")
        }
        stack.engine.run("docker").args(["start", &container.id]).output()?;
    }
    Ok(())
}

/// The exporter that runs this export now.
fn running(stack: &Stack<'_>, id: &str) -> Result<Option<String>> {
    let worker = stack.sql(&format!("select worker from export where id = '{id}' and status = 'running'"))?;
    Ok(Some(worker).filter(|worker| !worker.is_empty()))
}

/// The container of this exporter, found by the name in its log.
fn container_of(stack: &Stack<'_>, worker: &str) -> Result<Container> {
    let logs = stack.compose().args(["logs", "--no-color", "exporter"]).output()?;
    let prefix = logs.lines().find(|line| line.contains(worker)).and_then(|line| line.split_once(" |"));
    let name = prefix.map_or("", |(prefix, _)| prefix.trim());
    let exporters = stack.containers(&["exporter"])?;
    let found = exporters.into_iter().find(|one| !name.is_empty() && one.name.ends_with(&format!("-{name}")));
    found.with_context(|| format!("no container is the exporter {worker}"))
}
