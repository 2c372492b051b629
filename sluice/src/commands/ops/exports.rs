//! Exports: a page of them, one, and an end to one.

use protocol::{
    export::Status,
    id::ExportId,
    ops::{CancelReply, CancelRequest, ExportLookup, ExportReply, ExportSummary, ExportsReply, ExportsRequest},
    subject,
};
use serde_json::json;

use super::{CommandError, Desk, OpsError, plain, refused, table};
use crate::{cli::ops::ExportsOptions, output};

pub(super) async fn list(desk: &Desk, which: &ExportsOptions, json: bool) -> Result<(), CommandError> {
    let request = ExportsRequest {
        status: which.status,
        tenant: which.tenant.clone(),
        user: which.sub.clone(),
        dataset: which.dataset.clone(),
        limit: Some(which.limit),
        cursor: which.cursor,
    };
    let (items, next_cursor) = match desk.ask(subject::OPS_EXPORTS, &request).await? {
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
        output::note(&format!("there are more: --cursor {next}"));
    }
    Ok(())
}

pub(super) async fn show(desk: &Desk, id: ExportId, json: bool) -> Result<(), CommandError> {
    let (summary, export) = match desk.ask(subject::OPS_EXPORT, &ExportLookup { export_id: id }).await? {
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
            "what".into(),
            format!("{} as {} ({}), {}", summary.dataset, summary.format, export.compression, export.template),
        ],
        ["filter".into(), plain(&export.filter.to_string())],
        ["status".into(), format!("{}, attempt {}, {} failed", summary.status, summary.attempt, summary.failures)],
        ["queue".into(), format!("{} of pool {}", summary.lane, summary.pool)],
        ["exporter".into(), text(summary.exporter.clone())],
        ["requested".into(), summary.requested_at.to_string()],
        ["started".into(), text(summary.started_at.map(|at| at.to_string()))],
        ["completed".into(), text(summary.completed_at.map(|at| at.to_string()))],
        ["cancel asked".into(), text(summary.cancel_requested_at.map(|at| at.to_string()))],
        ["rows, bytes".into(), format!("{}, {}", output::grouped(summary.rows), output::grouped(summary.bytes))],
        ["credits".into(), summary.credits.to_string()],
        ["trace".into(), text(summary.trace_id.clone())],
        ["problem".into(), text(problem)],
    ];
    Ok(output::print(&table(&rows))?)
}

pub(super) async fn cancel(desk: &Desk, id: ExportId, json: bool) -> Result<(), CommandError> {
    match desk.ask(subject::OPS_CANCEL, &CancelRequest { export_id: id }).await? {
        CancelReply::Requested { export } if json => Ok(output::print_json(&export)?),
        CancelReply::Requested { .. } => Ok(output::print(&format!("{id} is being canceled"))?),
        // as good as asked for
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
