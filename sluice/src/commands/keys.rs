//! `sluice keys`: creates, lists and deletes API keys over the REST API of a gateway.

use chrono::TimeDelta;
use platform::clock::{Clock, SystemClock};
use protocol::{
    api_key::{ApiKey, ApiKeyPage, ApiKeyRequest, CreatedApiKey},
    time::Timestamp,
};
use serde_json::json;

use super::{
    CommandError,
    api::{ApiError, read, send},
    ops::{plain, table},
};
use crate::{
    cli::{
        SettingsFiles,
        keys::{CreateOptions, DeleteOptions, KeysCommand, ListOptions},
    },
    export::Access,
    output,
};

/// The scope that a user needs to create, list and delete API keys.
const MANAGE_SCOPE: &str = "keys:manage";

/// Runs a subcommand of `sluice keys`.
///
/// # Errors
/// When the gateway can't be reached or refuses the request, or standard output is closed.
pub async fn run(command: &KeysCommand, files: &SettingsFiles) -> Result<(), CommandError> {
    match command {
        KeysCommand::Create(options) => create(options, files).await,
        KeysCommand::List(options) => list(options, files).await,
        KeysCommand::Delete(options) => delete(options, files).await,
    }
}

async fn create(options: &CreateOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    // a token of the local identity gets the scopes that the key shall have
    let scope = format!("{MANAGE_SCOPE} {}", options.scope.join(" "));
    let access = Access::new(&options.access, &scope, files).map_err(ApiError::from)?;
    let expires_at =
        options.expires_in.and_then(|ttl| TimeDelta::from_std(ttl).ok()).map(|ttl| SystemClock.now() + ttl);
    let request = ApiKeyRequest {
        name: options.name.clone(),
        scopes: options.scope.clone(),
        expires_at: expires_at.map(Timestamp::from),
    };
    let created: CreatedApiKey = read(send(&access, access.post("/v1/keys"), |r| r.json(&request)).await?).await?;
    if options.json {
        output::print_json(&created)?;
    } else {
        output::print(&created.key)?;
        let end =
            created.info.expires_at.map_or("works until it is deleted".to_owned(), |at| format!("expires at {at}"));
        output::note(&format!("key {} {end}; store it now, because it is not shown again", created.info.id));
    }
    Ok(())
}

async fn list(options: &ListOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = Access::new(&options.access, MANAGE_SCOPE, files).map_err(ApiError::from)?;
    let (mut keys, mut path) = (Vec::new(), "/v1/keys".to_owned());
    loop {
        let page: ApiKeyPage = read(send(&access, access.get(&path), |r| r).await?).await?;
        keys.extend(page.items);
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/v1/keys?cursor={cursor}");
    }
    if options.json {
        output::print_json(&json!({"items": keys}))?;
    } else {
        output::print(&text(&keys))?;
    }
    Ok(())
}

async fn delete(options: &DeleteOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    let access = Access::new(&options.access, MANAGE_SCOPE, files).map_err(ApiError::from)?;
    send(&access, access.delete(&format!("/v1/keys/{}", options.id)), |r| r).await?;
    if options.json {
        output::print_json(&json!({"deleted": options.id}))?;
    } else {
        output::print(&format!("deleted {}", options.id))?;
    }
    Ok(())
}

fn text(keys: &[ApiKey]) -> String {
    if keys.is_empty() {
        return "the tenant has no API keys".to_owned();
    }
    let heading = ["ID", "NAME", "SCOPES", "CREATED BY", "LAST USED", "EXPIRES"].map(str::to_owned);
    let time = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
    let rows = keys.iter().map(|key| {
        let (name, scopes, creator) = (plain(&key.name), plain(&key.scopes.join(" ")), plain(&key.created_by));
        [key.id.to_string(), name, scopes, creator, time(key.last_used_at), time(key.expires_at)]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}
