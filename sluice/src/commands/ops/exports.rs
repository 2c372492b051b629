//! Lists exports, shows one export, and cancels one export, for operators.

use protocol::{
    export::Status,
    id::ExportId,
    ops::{CancelReply, CancelRequest, ExportLookup, ExportReply, ExportSummary, ExportsReply, ExportsRequest},
    subject,
};
use serde_json::json;

use super::{CommandError, OpsClient, OpsError, operator_name, plain, refused, table};
use crate::{
    cli::ops::{ActOnExport, ExportsOptions},
    output,
};

pub(super) async fn list(client: &OpsClient, filter: &ExportsOptions, json: bool) -> Result<(), CommandError> {
    let request = ExportsRequest {
        status: filter.status,
        tenant: filter.tenant.clone(),
        user: filter.sub.clone(),
        dataset: filter.dataset.clone(),
        text: filter.text.clone(),
        limit: Some(filter.limit),
        cursor: filter.cursor,
    };
    let (items, next_cursor) = match client.request(subject::OPS_EXPORTS, &request).await? {
        ExportsReply::Exports { items, next_cursor } => (items, next_cursor),
        ExportsReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&json!({ "items": items, "next_cursor": next_cursor }))?);
    }
    if items.is_empty() {
        return Ok(output::print("no exports")?);
    }
    output::print(&lines(&items))?;
    if let Some(next) = next_cursor {
        output::note(&format!("there are older ones: --cursor {next}"));
    }
    Ok(())
}

pub(super) async fn show(client: &OpsClient, id: ExportId, json: bool) -> Result<(), CommandError> {
    let (summary, export) = match client.request(subject::OPS_EXPORT, &ExportLookup { export_id: id }).await? {
        ExportReply::Export { summary, export } => (summary, export),
        ExportReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&json!({ "summary": summary, "export": export }))?);
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let problem = export.problem.as_ref().map(|problem| plain(&problem.to_string()));
    let rows = [
        ["id".into(), summary.id.to_string()],
        ["owner".into(), plain(&format!("{} of {}", summary.user, summary.tenant))],
        [
            "dataset".into(),
            format!("{} as {} ({}), {}", summary.dataset, summary.format, export.compression, export.template),
        ],
        ["filter".into(), plain(&export.filter.to_string())],
        ["status".into(), format!("{}, attempt {}, {} failed", summary.status, summary.attempt, summary.failures)],
        ["queue".into(), format!("{} of pool {}", summary.lane, summary.pool)],
        ["exporter".into(), text(summary.exporter.clone())],
        ["requested".into(), summary.requested_at.to_string()],
        ["started".into(), text(summary.started_at.map(|at| at.to_string()))],
        ["completed".into(), text(summary.completed_at.map(|at| at.to_string()))],
        ["cancel requested".into(), text(summary.cancel_requested_at.map(|at| at.to_string()))],
        ["rows, bytes".into(), format!("{}, {}", output::grouped(summary.rows), output::grouped(summary.bytes))],
        ["credits".into(), summary.credits.to_string()],
        ["trace".into(), text(summary.trace_id.clone())],
        ["problem".into(), text(problem)],
    ];
    Ok(output::print(&table(&rows))?)
}

pub(super) async fn cancel(client: &OpsClient, act: &ActOnExport, json: bool) -> Result<(), CommandError> {
    let id = act.id;
    let request = CancelRequest { export_id: id, operator: Some(operator_name()), reason: act.reason.clone() };
    match client.request(subject::OPS_CANCEL, &request).await? {
        CancelReply::Requested { export } if json => Ok(output::print_json(&export)?),
        CancelReply::Requested { .. } => Ok(output::print(&format!("{id} is being canceled"))?),
        // an earlier request has canceled the export
        CancelReply::Ended { export } if export.status == Status::Canceled => {
            if json {
                return Ok(output::print_json(&export)?);
            }
            Ok(output::print(&format!("{id} is canceled"))?)
        }
        CancelReply::Ended { export } => Err(OpsError::Ended { id, status: export.status }.into()),
        CancelReply::Refused { problem } => Err(refused(problem)),
    }
}

fn lines(items: &[ExportSummary]) -> String {
    let names = ["EXPORT", "STATUS", "OWNER", "DATASET", "FORMAT", "LANE", "ATTEMPT", "ROWS", "REQUESTED", "PROBLEM"];
    let mut rows = vec![names.map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        [
            item.id.to_string(),
            item.status.to_string(),
            plain(&format!("{}/{}", item.tenant, item.user)),
            item.dataset.clone(),
            item.format.clone(),
            item.lane.clone(),
            item.attempt.to_string(),
            output::grouped(item.rows),
            item.requested_at.to_string(),
            item.problem.clone().unwrap_or_default(),
        ]
    }));
    table(&rows)
}
