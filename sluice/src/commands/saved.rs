//! `sluice saved`: saves export requests over the REST API of a gateway, and runs them.

use std::path::Path;

use protocol::{
    client::{ClientMessage, Deliver, SavedRun},
    export::{Export, ExportRequest, Status},
    saved_export::{
        SavedExport, SavedExportId, SavedExportPage, SavedExportRequest, SavedExportRun, SavedExportRunPage, Schedule,
        SchedulePreview, ScheduleRequest, Visibility,
    },
};
use reqwest::header;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    CommandError,
    api::{ApiError, read, send},
    ops::{plain, table},
};
use crate::{
    cli::{
        SettingsFiles,
        saved::{
            CommonOptions, CreateOptions, DeleteOptions, EditOptions, ListOptions, RunOptions, SavedCommand,
            ShowOptions,
        },
    },
    export::{Access, Reception, receive, request},
    output,
};

/// The scope of a token of the local identity.
const SCOPE: &str = "export:*";
/// The maximum number of bytes of a file in flight.
const WINDOW: u64 = 4 * 1024 * 1024;
/// The value of `Prefer` while the command waits for the end of an export. It is shorter than the timeout of a request.
const PREFER_WAIT: &str = "wait=10";

/// Runs a subcommand of `sluice saved`.
///
/// # Errors
/// When the gateway can't be reached or refuses the request, an awaited export ends without a file, or standard output
/// is closed.
pub async fn run(command: &SavedCommand, files: &SettingsFiles) -> Result<(), CommandError> {
    match command {
        SavedCommand::List(options) => list(options, files).await,
        SavedCommand::Show(options) => show(options, files).await,
        SavedCommand::Create(options) => create(options, files).await,
        SavedCommand::Run(options) => start(options, files).await,
        SavedCommand::Edit(options) => edit(options, files).await,
        SavedCommand::Delete(options) => delete(options, files).await,
    }
}

async fn list(options: &ListOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let saved = all(&access(&options.common, files)?).await?;
    if options.common.json {
        output::print_json(&json!({"items": saved}))?;
    } else {
        output::print(&list_text(&saved))?;
    }
    Ok(())
}

async fn show(options: &ShowOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = access(&options.common, files)?;
    let saved = find(&access, &options.name).await?;
    let path = format!("{}?limit={}", saved.links.runs, options.limit);
    let runs: SavedExportRunPage = read(send(&access, access.get(&path), |r| r).await?).await?;
    let preview = match &saved.schedule {
        Some(schedule) => Some(preview(&access, schedule).await?),
        None => None,
    };
    if options.common.json {
        let moments = preview.map(|preview| preview.moments);
        output::print_json(
            &json!({"saved_export": saved, "runs": runs.items, "missed": runs.missed, "moments": moments}),
        )?;
    } else {
        output::print(&show_text(&saved, &runs, preview.as_ref())?)?;
    }
    Ok(())
}

async fn create(options: &CreateOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = access(&options.common, files)?;
    let body = SavedExportRequest {
        name: options.name.clone(),
        request: request(&options.dataset, &options.request),
        visibility: if options.shared { Visibility::Tenant } else { Visibility::Private },
        schedule: options.cron.clone().map(|cron| ScheduleRequest {
            cron,
            zone: options.zone.clone(),
            enabled: true,
            only_if_changed: options.only_if_changed,
        }),
        ..SavedExportRequest::default()
    };
    let saved: SavedExport = read(send(&access, access.post("/v1/saved-exports"), |r| r.json(&body)).await?).await?;
    report(&options.common, &saved, &format!("saved {} as {}", plain(&saved.name), saved.id))
}

async fn start(options: &RunOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = access(&options.common, files)?;
    let saved = find(&access, &options.name).await?;
    let key = Uuid::new_v4().to_string();
    if let Some(path) = &options.output {
        let run = SavedRun {
            saved_export_id: saved.id,
            idempotency_key: Some(key),
            deliver: Deliver::Stream,
            window: Some(WINDOW),
        };
        let reception = Reception {
            request: ClientMessage::SavedRun(run),
            target: (path != Path::new("-")).then(|| path.clone()),
            window: WINDOW,
            title: &saved.request.dataset,
            json: options.common.json,
        };
        return receive(&access, reception).await.map_err(|e| CommandError::Receive(Box::new(e)));
    }
    let submitted = send(&access, access.post(&saved.links.runs), |r| r.header("idempotency-key", key)).await?;
    let mut export: Export = read(submitted).await?;
    while options.wait && export.status.is_unfinished() {
        let path = &export.links.this;
        export = read(send(&access, access.get(path), |r| r.header("prefer", PREFER_WAIT)).await?).await?;
    }
    report(&options.common, &export, &format!("{} {}", export.id, export.status))?;
    if !options.wait || export.status == Status::Completed {
        return Ok(());
    }
    let detail = export.problem.map(|problem| format!(": {}", problem.detail)).unwrap_or_default();
    Err(CommandError::RunEnded { id: export.id, status: export.status, detail })
}

async fn edit(options: &EditOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = access(&options.common, files)?;
    let saved = find(&access, &options.name).await?;
    let before = saved.editable();
    let patch = difference(&value(&before)?, &value(&edited(before, options))?);
    let tag = format!("\"{}\"", saved.version);
    let changed = |r: reqwest::RequestBuilder| {
        r.header(header::IF_MATCH, tag)
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string())
    };
    let saved: SavedExport = read(send(&access, access.patch(&saved.links.this), changed).await?).await?;
    report(&options.common, &saved, &format!("{} has the version {}", plain(&saved.name), saved.version))
}

async fn delete(options: &DeleteOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = access(&options.common, files)?;
    let saved = find(&access, &options.name).await?;
    send(&access, access.delete(&saved.links.this), |r| r).await?;
    report(&options.common, &json!({"deleted": saved.id}), &format!("deleted {}", saved.id))
}

/// Asks for the next moments of a schedule.
async fn preview(access: &Access, schedule: &Schedule) -> Result<SchedulePreview, ApiError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("cron", &schedule.cron).append_pair("zone", &schedule.zone).finish();
    read(send(access, access.get(&format!("/v1/schedules/preview?{query}")), |r| r).await?).await
}

fn access(options: &CommonOptions, files: &SettingsFiles) -> Result<Access, ApiError> {
    Ok(Access::new(&options.access, SCOPE, files)?)
}

/// Prints the result as JSON, or else as this text.
fn report(options: &CommonOptions, result: &impl Serialize, text: &str) -> Result<(), CommandError> {
    if options.json {
        output::print_json(result)?
    } else {
        output::print(text)?
    }
    Ok(())
}

/// Reads all saved exports that the user may see.
async fn all(access: &Access) -> Result<Vec<SavedExport>, ApiError> {
    let (mut saved, mut path) = (Vec::new(), "/v1/saved-exports?limit=100".to_owned());
    loop {
        let page: SavedExportPage = read(send(access, access.get(&path), |r| r).await?).await?;
        saved.extend(page.items);
        let Some(cursor) = page.next_cursor else { return Ok(saved) };
        path = format!("/v1/saved-exports?limit=100&cursor={cursor}");
    }
}

/// Finds a saved export by its id, or by a name that no other one has.
async fn find(access: &Access, name: &str) -> Result<SavedExport, CommandError> {
    if let Ok(id) = name.parse::<SavedExportId>() {
        return Ok(read(send(access, access.get(&format!("/v1/saved-exports/{id}")), |r| r).await?).await?);
    }
    let mut named: Vec<_> = all(access).await?.into_iter().filter(|saved| saved.name == name).collect();
    match (named.pop(), named.len()) {
        (Some(saved), 0) => Ok(saved),
        (last, others) => {
            let count = others + usize::from(last.is_some());
            Err(CommandError::SavedName { name: plain(name), count })
        }
    }
}

/// Applies the options of `edit`.
fn edited(saved: SavedExportRequest, options: &EditOptions) -> SavedExportRequest {
    let new = request("", &options.request);
    let is_reset = |member: &str| options.reset.iter().any(|reset| reset == member);
    fn choose<T>(new: Option<T>, old: Option<T>, is_reset: bool) -> Option<T> {
        new.or(old.filter(|_| !is_reset))
    }
    let old = saved.request;
    let request = ExportRequest {
        dataset: options.dataset.clone().unwrap_or(old.dataset),
        template: choose(new.template, old.template, is_reset("template")),
        format: choose(new.format, old.format, is_reset("format")),
        compression: choose(new.compression, old.compression, is_reset("compression")),
        filter: choose(new.filter, old.filter, is_reset("filter")),
        columns: choose(new.columns, old.columns, is_reset("columns")),
        params: choose(new.params, old.params, is_reset("params")),
        time_zone: choose(new.time_zone, old.time_zone, is_reset("time_zone")),
    };
    let visibility = match (options.shared, options.private) {
        (true, _) => Visibility::Tenant,
        (false, true) => Visibility::Private,
        (false, false) => saved.visibility,
    };
    let schedule = edited_schedule(saved.schedule, options);
    SavedExportRequest { name: options.rename.clone().unwrap_or(saved.name), request, visibility, schedule, ..saved }
}

/// Applies the options of `edit` to a schedule. A new schedule begins with `--cron`; without it, the gateway refuses the
/// other options.
fn edited_schedule(old: Option<ScheduleRequest>, options: &EditOptions) -> Option<ScheduleRequest> {
    let is_kept = options.cron.is_none()
        && options.zone.is_none()
        && options.only_if_changed.is_none()
        && options.enabled.is_none();
    if options.no_schedule || (is_kept && old.is_none()) {
        return None;
    }
    let old = old.unwrap_or_else(|| ScheduleRequest {
        cron: String::new(),
        zone: "UTC".to_owned(),
        enabled: true,
        only_if_changed: false,
    });
    Some(ScheduleRequest {
        cron: options.cron.clone().unwrap_or(old.cron),
        zone: options.zone.clone().unwrap_or(old.zone),
        enabled: options.enabled.unwrap_or(old.enabled),
        only_if_changed: options.only_if_changed.unwrap_or(old.only_if_changed),
    })
}

fn value(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|e| ApiError::Answer(e.to_string()))
}

/// Returns the merge patch (RFC 7396) that turns one value into another.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(value)).map(|(name, value)| {
        let patch = before.get(name).map_or_else(|| value.clone(), |old| difference(old, value));
        (name.clone(), patch)
    });
    Value::Object(removed.chain(changed).collect::<Map<_, _>>())
}

fn list_text(saved: &[SavedExport]) -> String {
    if saved.is_empty() {
        return "there are no saved exports".to_owned();
    }
    let heading = ["ID", "NAME", "DATASET", "SEEN BY", "OWNER", "NEXT RUN", "LAST RUN"].map(str::to_owned);
    let rows = saved.iter().map(|saved| {
        let last = saved.last_run.as_ref();
        let last = last.map_or("never".to_owned(), |run| format!("{} {}", run.requested_at, run.status));
        let (name, owner) = (plain(&saved.name), plain(&saved.owner));
        let dataset = plain(&saved.request.dataset);
        let next = saved.schedule.as_ref().map_or("by hand".to_owned(), state);
        [saved.id.to_string(), name, dataset, saved.visibility.as_str().to_owned(), owner, next, last]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

/// The next run of a schedule, or why there is none.
fn state(schedule: &Schedule) -> String {
    match (&schedule.next_run_at, &schedule.paused_reason) {
        (Some(at), _) => at.to_string(),
        (None, Some(_)) => "paused".to_owned(),
        (None, None) => "disabled".to_owned(),
    }
}

fn show_text(
    saved: &SavedExport,
    SavedExportRunPage { items: runs, missed, .. }: &SavedExportRunPage,
    preview: Option<&SchedulePreview>,
) -> Result<String, ApiError> {
    let mut rows = vec![
        ["id".to_owned(), saved.id.to_string()],
        ["name".to_owned(), plain(&saved.name)],
        ["owner".to_owned(), plain(&saved.owner)],
        ["seen by".to_owned(), saved.visibility.as_str().to_owned()],
        ["version".to_owned(), format!("{}, changed at {}", saved.version, saved.updated_at)],
        ["request".to_owned(), plain(&value(&saved.request)?.to_string())],
    ];
    if let (Some(schedule), Some(preview)) = (&saved.schedule, preview) {
        let only = if schedule.only_if_changed { ", only if the rows changed" } else { "" };
        rows.push(["schedule".to_owned(), format!("{} in {}{only}", plain(&schedule.cron), plain(&schedule.zone))]);
        rows.push(["next run".to_owned(), state(schedule)]);
        if let Some(reason) = &schedule.paused_reason {
            rows.push(["paused".to_owned(), plain(reason)]);
        }
        let moments: Vec<_> = preview.moments.iter().map(ToString::to_string).collect();
        rows.push(["moments".to_owned(), moments.join(", ")]);
        let (runs, credits) = (preview.runs_per_week, preview.credits_per_week);
        rows.push(["a week".to_owned(), format!("about {runs} runs, {credits} credits gained")]);
    }
    if !missed.is_empty() {
        let missed: Vec<_> = missed.iter().map(ToString::to_string).collect();
        rows.push(["missed".to_owned(), missed.join(", ")]);
    }
    let mut text = table(&rows);
    if !runs.is_empty() {
        let heading = ["RUN", "REQUESTED", "SCHEDULED FOR", "STATUS", "ROWS"].map(str::to_owned);
        let runs = runs.iter().map(|SavedExportRun { export, scheduled_for }| {
            let scheduled = scheduled_for.map_or("by hand".to_owned(), |at| at.to_string());
            let rows = output::grouped(export.progress.rows);
            [export.id.to_string(), export.requested_at.to_string(), scheduled, export.status.to_string(), rows]
        });
        text = format!("{text}\n\n{}", table(&std::iter::once(heading).chain(runs).collect::<Vec<_>>()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn edit_options(args: &[&str]) -> EditOptions {
        match Cli::parse_from(["sluice", "saved", "edit", "weekly"].iter().chain(args)).command {
            Command::Saved(command) => match *command {
                SavedCommand::Edit(options) => options,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn saved() -> SavedExportRequest {
        let request = json!({"dataset": "flights", "filter": {"origin": {"in": ["SEA"]}}, "columns": ["delay"]});
        SavedExportRequest {
            name: "weekly".into(),
            request: serde_json::from_value(request).unwrap(),
            ..SavedExportRequest::default()
        }
    }

    fn patch(args: &[&str]) -> Value {
        let before = saved();
        difference(&value(&before).unwrap(), &value(&edited(before, &edit_options(args))).unwrap())
    }

    #[test]
    fn an_edit_replaces_the_given_members_and_keeps_the_others() {
        assert_eq!(patch(&[]), json!({}));
        assert_eq!(patch(&["--rename", "daily", "--shared"]), json!({"name": "daily", "visibility": "tenant"}));
        let filter = json!({"origin": {"eq": "JFK", "in": null}});
        assert_eq!(patch(&["--filter", r#"{"origin": {"eq": "JFK"}}"#]), json!({"request": {"filter": filter}}));
        let daily = ["--cron", "0 6 * * *", "--only-if-changed", "true"];
        let schedule = json!({"cron": "0 6 * * *", "zone": "UTC", "enabled": true, "only_if_changed": true});
        assert_eq!(patch(&daily), json!({"schedule": schedule}));
        assert_eq!(patch(&["--no-schedule"]), json!({}));
        let reset = ["--reset", "columns", "--reset", "filter", "--format", "parquet"];
        assert_eq!(patch(&reset), json!({"request": {"columns": null, "filter": null, "format": "parquet"}}));
    }
}
