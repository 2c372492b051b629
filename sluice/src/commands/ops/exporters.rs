//! Exporters: which are there, and emptying one before its machine goes.

use std::time::Duration;

use platform::bus::BusError;
use protocol::{
    ops::{DrainReply, DrainRequest, ExportersReply, ExportersRequest},
    subject,
};
use serde_json::json;
use tokio::time::Instant;

use super::{CommandError, Desk, OpsError, plain, refused, table};
use crate::{cli::ops::DrainOptions, output};

/// How often to look whether it is empty.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn list(desk: &Desk, json: bool) -> Result<(), CommandError> {
    let items = match desk.ask(subject::OPS_EXPORTERS, &ExportersRequest {}).await? {
        ExportersReply::Exporters { items } => items,
        ExportersReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&items)?);
    }
    if items.is_empty() {
        return Ok(output::print("no exporters")?);
    }
    let mut rows = vec![["EXPORTER", "POOL", "STATE", "SLOTS", "BULK", "SEEN", "DATASETS"].map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        let state = if item.draining { "draining" } else { "taking jobs" };
        let (slots, bulk) = (item.slots.to_string(), item.bulk_slots.to_string());
        let datasets = plain(&item.datasets.join(", "));
        [item.instance.clone(), plain(&item.pool), state.into(), slots, bulk, item.at.to_string(), datasets]
    }));
    Ok(output::print(&table(&rows))?)
}

pub(super) async fn drain(desk: &Desk, which: &DrainOptions, json: bool) -> Result<(), CommandError> {
    let instance = &which.exporter.instance;
    let (subject, began) = (subject::ops_drain(instance), Instant::now());
    let mut running = ask(desk, &subject, instance).await?;
    while which.wait && running > 0 {
        if began.elapsed() >= which.timeout {
            let waited_s = which.timeout.as_secs();
            return Err(OpsError::NotEmpty { instance: instance.clone(), running, waited_s }.into());
        }
        tokio::time::sleep(LOOK).await;
        running = ask(desk, &subject, instance).await?;
    }
    print(instance, true, running, json)
}

pub(super) async fn undrain(desk: &Desk, instance: &str, json: bool) -> Result<(), CommandError> {
    let running = ask(desk, &subject::ops_undrain(instance), instance).await?;
    print(instance, false, running, json)
}

/// How many jobs it has in hand.
async fn ask(desk: &Desk, subject: &str, instance: &str) -> Result<u32, CommandError> {
    match desk.ask(subject, &DrainRequest {}).await {
        Ok(DrainReply::Exporter { running, .. }) => Ok(running),
        Ok(DrainReply::Refused { problem }) => Err(refused(problem)),
        // nobody else answers in its name
        Err(OpsError::Bus(BusError::Request { .. })) => Err(OpsError::NoExporter(instance.to_owned()).into()),
        Err(e) => Err(e.into()),
    }
}

fn print(instance: &str, draining: bool, running: u32, json: bool) -> Result<(), CommandError> {
    if json {
        return Ok(output::print_json(&json!({ "instance": instance, "draining": draining, "running": running }))?);
    }
    let state = if draining { "takes no new jobs" } else { "takes jobs" };
    Ok(output::print(&format!("{instance} {state}, and has {running} in hand"))?)
}
