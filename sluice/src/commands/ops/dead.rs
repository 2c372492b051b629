//! Dead letters: a page of them, and another chance.

use protocol::{
    id::ExportId,
    ops::{DeadKind, DeadReply, DeadRequest, RequeueReply, RequeueRequest},
    subject,
};
use serde_json::json;

use super::{CommandError, Desk, plain, refused, table};
use crate::{cli::ops::DeadOptions, output};

pub(super) async fn list(desk: &Desk, which: &DeadOptions, json: bool) -> Result<(), CommandError> {
    let request = DeadRequest { limit: Some(which.limit), cursor: which.cursor };
    let (items, total, next_cursor) = match desk.ask(subject::OPS_DEAD, &request).await? {
        DeadReply::Dead { items, total, next_cursor } => (items, total, next_cursor),
        DeadReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&json!({ "items": items, "total": total, "next_cursor": next_cursor }))?);
    }
    if total == 0 {
        return Ok(output::print("no dead letters")?);
    }
    let mut rows = vec![["NUMBER", "DIED", "WHAT", "EXPORT", "REASON", "DETAIL"].map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        let kind = match item.kind {
            DeadKind::Job => "job",
            DeadKind::Outcome => "outcome",
        };
        let export = item.export_id.to_string();
        [item.sequence.to_string(), item.at.to_string(), kind.into(), export, plain(&item.reason), plain(&item.detail)]
    }));
    output::print(&table(&rows))?;
    if let Some(next) = next_cursor {
        output::note(&format!("there are more: --cursor {next}"));
    }
    Ok(())
}

pub(super) async fn requeue(desk: &Desk, id: ExportId, json: bool) -> Result<(), CommandError> {
    let reply: RequeueReply = desk.ask(subject::OPS_REQUEUE, &RequeueRequest { export_id: id }).await?;
    let told = match &reply {
        RequeueReply::Refused { problem } => return Err(refused(problem.clone())),
        RequeueReply::Requeued { export, of } => format!("{of} is made anew as {} ({})", export.id, export.status),
        RequeueReply::Replayed { export } => format!("the outcome of {} is settled again", export.id),
    };
    if json {
        return Ok(output::print_json(&reply)?);
    }
    Ok(output::print(&told)?)
}
