//! Prints the whole story of one export.

use protocol::{
    id::ExportId,
    ops::{ExportLookup, ExportStory, HistoryEvent, StoryReply},
    subject,
};

use super::{CommandError, OpsClient, plain, refused, table};
use crate::output;

pub(super) async fn show(client: &OpsClient, id: ExportId, json: bool) -> Result<(), CommandError> {
    let story = match client.request(subject::OPS_STORY, &ExportLookup { export_id: id }).await? {
        StoryReply::Story { story } => story,
        StoryReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&story)?);
    }
    Ok(output::print(&text(&story))?)
}

fn text(story: &ExportStory) -> String {
    let summary = &story.summary;
    let optional = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let head = [
        ["export".to_owned(), summary.id.to_string()],
        ["owner".into(), plain(&format!("{} of {}", summary.user, summary.tenant))],
        ["dataset".into(), plain(&format!("{} as {}", summary.dataset, summary.format))],
        ["status".into(), summary.status.to_string()],
        ["trace".into(), optional(summary.trace_id.clone())],
        ["problem".into(), optional(story.problem.as_ref().map(|problem| plain(&problem.to_string())))],
        ["paused".into(), optional(story.pause.as_ref().map(|pause| plain(&pause.reason)))],
        [
            "file".into(),
            optional(story.file.as_ref().map(|file| {
                format!(
                    "{} bytes, {} rows, SHA-256 {}",
                    output::grouped(file.size),
                    output::grouped(file.rows),
                    file.sha256
                )
            })),
        ],
        ["retried as".into(), optional(story.retried_as.map(|id| id.to_string()))],
    ];
    let mut sections = vec![table(&head)];
    let mut events = vec![["TIME", "EVENT", "ATTEMPT", "EXPORTER", "WAITS FOR"].map(str::to_owned)];
    events.extend(story.events.iter().map(|event| {
        let attempt = if event.attempt == 0 { String::new() } else { event.attempt.to_string() };
        let exporter = plain(event.exporter.as_deref().unwrap_or_default());
        [event.at.to_string(), name(event), attempt, exporter, event.waiting_for.clone().unwrap_or_default()]
    }));
    sections.push(table(&events));
    if !story.attempts.is_empty() {
        let mut attempts = vec![["ATTEMPT", "STARTED", "ENDED", "SEGMENTS", "ROWS", "BYTES"].map(str::to_owned)];
        attempts.extend(story.attempts.iter().map(|attempt| {
            [
                attempt.number.to_string(),
                attempt.started_at.to_string(),
                optional(attempt.ended_at.map(|at| at.to_string())),
                output::grouped(attempt.segments),
                output::grouped(attempt.rows),
                output::grouped(attempt.bytes),
            ]
        }));
        sections.push(table(&attempts));
    }
    if !story.acts.is_empty() {
        let mut acts = vec![["TIME", "OPERATOR", "ACTION", "REASON"].map(str::to_owned)];
        acts.extend(story.acts.iter().map(|act| {
            let reason = plain(act.reason.as_deref().unwrap_or_default());
            [act.at.to_string(), plain(&act.operator), act.action.clone(), reason]
        }));
        sections.push(table(&acts));
    }
    if !story.dead_letters.is_empty() {
        let mut letters = vec![["DEAD LETTER", "TIME", "REASON", "DETAIL"].map(str::to_owned)];
        letters.extend(story.dead_letters.iter().map(|letter| {
            [letter.sequence.to_string(), letter.at.to_string(), plain(&letter.reason), plain(&letter.detail)]
        }));
        sections.push(table(&letters));
    }
    sections.join("\n\n")
}

/// Returns the kind of an event in words.
fn name(event: &HistoryEvent) -> String {
    let kind = serde_json::to_value(event.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    kind.unwrap_or_default().replace('_', " ")
}
