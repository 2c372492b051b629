//! Lists exporters, and starts or ends the drain of one exporter. A draining exporter finishes its jobs and accepts no
//! new ones.

use std::time::Duration;

use platform::bus::BusError;
use protocol::{
    ops::{DrainReply, DrainRequest, ExportersReply, ExportersRequest},
    subject,
};
use serde_json::json;
use tokio::time::Instant;

use super::{CommandError, OpsClient, OpsError, plain, refused, table};
use crate::{cli::ops::DrainOptions, output};

/// The interval at which the command polls the number of running jobs.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn list(client: &OpsClient, json: bool) -> Result<(), CommandError> {
    let items = match client.request(subject::OPS_EXPORTERS, &ExportersRequest {}).await? {
        ExportersReply::Exporters { items } => items,
        ExportersReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&items)?);
    }
    if items.is_empty() {
        return Ok(output::print("no exporters")?);
    }
    let mut rows = vec![["EXPORTER", "POOL", "STATE", "SLOTS", "BULK", "ADVERTISED", "DATASETS"].map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        let state = if item.draining { "draining" } else { "active" };
        let (slots, bulk) = (item.slots.to_string(), item.bulk_slots.to_string());
        let more = (item.dataset_count as usize).saturating_sub(item.datasets.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let datasets = plain(&item.datasets.join(", ")) + &more;
        [item.instance.clone(), plain(&item.pool), state.into(), slots, bulk, item.at.to_string(), datasets]
    }));
    Ok(output::print(&table(&rows))?)
}

pub(super) async fn drain(client: &OpsClient, options: &DrainOptions, json: bool) -> Result<(), CommandError> {
    let instance = &options.exporter.instance;
    let (subject, began) = (subject::ops_drain(instance), Instant::now());
    let mut running = running_jobs(client, &subject, instance).await?;
    while options.wait && running > 0 {
        if began.elapsed() >= options.timeout {
            let waited_s = options.timeout.as_secs();
            return Err(OpsError::NotDrained { instance: instance.clone(), running, waited_s }.into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        running = running_jobs(client, &subject, instance).await?;
    }
    print(instance, true, running, json)
}

pub(super) async fn undrain(client: &OpsClient, instance: &str, json: bool) -> Result<(), CommandError> {
    let running = running_jobs(client, &subject::ops_undrain(instance), instance).await?;
    print(instance, false, running, json)
}

/// Sends a drain or undrain request, and returns the number of running jobs.
async fn running_jobs(client: &OpsClient, subject: &str, instance: &str) -> Result<u32, CommandError> {
    match client.request(subject, &DrainRequest {}).await {
        Ok(DrainReply::Exporter { running, .. }) => Ok(running),
        Ok(DrainReply::Refused { problem }) => Err(refused(problem)),
        // only this exporter answers requests on the subject
        Err(OpsError::Bus(BusError::Request { .. })) => Err(OpsError::NoExporter(instance.to_owned()).into()),
        Err(e) => Err(e.into()),
    }
}

fn print(instance: &str, draining: bool, running: u32, json: bool) -> Result<(), CommandError> {
    if json {
        return Ok(output::print_json(&json!({ "instance": instance, "draining": draining, "running": running }))?);
    }
    let state = if draining { "accepts no new jobs" } else { "accepts jobs" };
    Ok(output::print(&format!("{instance} {state} and runs {running}"))?)
}
