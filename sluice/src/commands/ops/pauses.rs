//! Pauses and resumes a tenant or a user, and lists the paused ones.

use protocol::{
    ops::{Pause, PauseReply, PauseRequest, PausesReply, PausesRequest, ResumeReply, ResumeRequest},
    subject,
};
use serde_json::json;

use super::{CommandError, OpsClient, operator_name, plain, refused, table};
use crate::{
    cli::ops::{PauseOptions, ResumeOptions},
    output,
};

pub(super) async fn pause(client: &OpsClient, options: &PauseOptions, json: bool) -> Result<(), CommandError> {
    let request = PauseRequest {
        tenant: options.owner.tenant.clone(),
        user: options.owner.sub.clone(),
        reason: options.reason.clone(),
        operator: Some(operator_name()),
    };
    let (pause, changed) = match client.request(subject::OPS_PAUSE, &request).await? {
        PauseReply::Paused { pause, changed } => (pause, changed),
        PauseReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&json!({ "pause": pause, "changed": changed }))?);
    }
    let owner = owner(&pause.tenant, pause.user.as_deref());
    let text = if changed {
        format!("exports of {owner} wait from now on; running ones continue")
    } else {
        let (by, reason) = (plain(&pause.paused_by), plain(&pause.reason));
        format!("{owner} is paused since {} by {by}: {reason}", pause.paused_at)
    };
    Ok(output::print(&text)?)
}

pub(super) async fn resume(client: &OpsClient, options: &ResumeOptions, json: bool) -> Result<(), CommandError> {
    let request = ResumeRequest {
        tenant: options.owner.tenant.clone(),
        user: options.owner.sub.clone(),
        reason: options.reason.clone(),
        operator: Some(operator_name()),
    };
    let reply: ResumeReply = client.request(subject::OPS_RESUME, &request).await?;
    let (tenant, user, changed, still_paused) = match &reply {
        ResumeReply::Resumed { tenant, user, changed, still_paused } => (tenant, user, changed, still_paused),
        ResumeReply::Refused { problem } => return Err(refused(problem.clone())),
    };
    if json {
        let result = json!({ "tenant": tenant, "user": user, "changed": changed, "still_paused": still_paused });
        return Ok(output::print_json(&result)?);
    }
    let owner = owner(tenant, user.as_deref());
    output::print(&if *changed { format!("exports of {owner} run again") } else { format!("{owner} was not paused") })?;
    if still_paused.is_some() {
        output::note("the whole tenant is still paused");
    }
    Ok(())
}

pub(super) async fn list(client: &OpsClient, json: bool) -> Result<(), CommandError> {
    let items: Vec<Pause> = match client.request(subject::OPS_PAUSES, &PausesRequest {}).await? {
        PausesReply::Pauses { items } => items,
        PausesReply::Refused { problem } => return Err(refused(problem)),
    };
    if json {
        return Ok(output::print_json(&items)?);
    }
    if items.is_empty() {
        return Ok(output::print("no pauses")?);
    }
    let mut rows = vec![["TENANT", "USER", "SINCE", "BY", "REASON"].map(str::to_owned)];
    rows.extend(items.iter().map(|pause| {
        let user = pause.user.as_deref().map_or_else(|| "all".into(), plain);
        [plain(&pause.tenant), user, pause.paused_at.to_string(), plain(&pause.paused_by), plain(&pause.reason)]
    }));
    Ok(output::print(&table(&rows))?)
}

fn owner(tenant: &str, user: Option<&str>) -> String {
    plain(&user.map_or_else(|| format!("tenant {tenant}"), |user| format!("{user} of {tenant}")))
}
