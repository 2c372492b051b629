//! Lists dead letters, and requeues one. A dead letter is a job or an outcome that failed for the last time.

use protocol::{
    ops::{DeadLetterKind, DeadLettersReply, DeadLettersRequest, RequeueReply, RequeueRequest},
    subject,
};
use serde_json::json;

use super::{CommandError, OpsClient, operator_name, plain, refused, table};
use crate::{
    cli::ops::{ActOnExport, DeadLettersOptions},
    output,
};

pub(super) async fn list(client: &OpsClient, page: &DeadLettersOptions, json: bool) -> Result<(), CommandError> {
    let request = DeadLettersRequest { limit: Some(page.limit), cursor: page.cursor };
    let (items, total, next_cursor) = match client.request(subject::OPS_DEAD, &request).await? {
        DeadLettersReply::DeadLetters { items, total, next_cursor } => (items, total, next_cursor),
        DeadLettersReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&json!({ "items": items, "total": total, "next_cursor": next_cursor }))?);
    }
    if total == 0 {
        return Ok(output::print("no dead letters")?);
    }
    let mut rows = vec![["NUMBER", "TIME", "KIND", "EXPORT", "REASON", "DETAIL"].map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        let kind = match item.kind {
            DeadLetterKind::Job => "job",
            DeadLetterKind::Outcome => "outcome",
        };
        let export = item.export_id.to_string();
        [item.sequence.to_string(), item.at.to_string(), kind.into(), export, plain(&item.reason), plain(&item.detail)]
    }));
    output::print(&table(&rows))?;
    if let Some(next) = next_cursor {
        output::note(&format!("there are older ones: --cursor {next}"));
    }
    Ok(())
}

pub(super) async fn requeue(client: &OpsClient, act: &ActOnExport, json: bool) -> Result<(), CommandError> {
    let request = RequeueRequest { export_id: act.id, operator: Some(operator_name()), reason: act.reason.clone() };
    let reply: RequeueReply = client.request(subject::OPS_REQUEUE, &request).await?;
    let message = match &reply {
        RequeueReply::Refused { problem } => return Err(refused(problem.clone())),
        RequeueReply::Requeued { export, failed_export_id } => {
            format!("{failed_export_id} runs again as {} ({})", export.id, export.status)
        }
        RequeueReply::OutcomeRequeued { export } => format!("the notifier applies the outcome of {} again", export.id),
    };
    if json {
        return Ok(output::print_json(&reply)?);
    }
    Ok(output::print(&message)?)
}
