//! Creates, lists and deletes the API keys of a tenant.

use axum::http::header;
use chrono::{DateTime, TimeDelta, Utc};
use entity::api_key::{self, Insertion, Model};
use platform::{secret::Secret, telemetry::traces};
use protocol::{
    access::TOKEN_CLAIMS,
    api_key::{ApiKey, ApiKeyId, ApiKeyPage, ApiKeyRequest, CreatedApiKey, DeletedApiKeys},
    envelope::TraceContext,
    json,
    problem::{FieldError, Problem, Slug},
    subject,
    time::Timestamp,
};
use sea_orm::TransactionTrait;
use serde_json::{Map, Value};
use tracing::{Span, debug, info};

use super::{ApiKeys, secret};
use crate::{
    auth::{AuthError, Caller},
    error::{Outcome, Refusal},
};

/// The scope that a caller needs to create, list and delete API keys.
const MANAGE_SCOPE: &str = "keys:manage";
/// The maximum number of API keys of one tenant. A deleted key still counts for [`COUNTED_AFTER_DELETION`].
const MAX_KEYS_PER_TENANT: u64 = 100;
/// The time for which a deleted key still counts towards [`MAX_KEYS_PER_TENANT`]. Each key has its own credit account
/// with an initial balance. Without this rule, a user could get any number of credits by creating and deleting keys.
const COUNTED_AFTER_DELETION: TimeDelta = TimeDelta::days(1);
/// The value of `Retry-After`, in seconds, in the response to a tenant that has too many keys.
const RETRY_AFTER_SECONDS: u32 = 60 * 60;
/// The maximum length of the name of an API key, in characters.
const MAX_NAME_CHARS: usize = 100;
/// The maximum number of scopes of an API key.
const MAX_SCOPES: usize = 100;
/// The maximum length of a scope, in bytes.
const MAX_SCOPE_BYTES: usize = 255;
/// The claims that an API key does not copy from its creator's token, because a key has its own subject and scopes. A
/// key does not copy [`TOKEN_CLAIMS`] either.
const OWN_CLAIMS: [&str; 2] = ["sub", "scope"];

/// The page of API keys that a call of [`ApiKeys::list`] requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListQuery {
    /// List only API keys that were created before this key. None lists from the newest key.
    pub(crate) before: Option<ApiKeyId>,
    /// The maximum number of API keys in the page.
    pub(crate) limit: u64,
}

impl ApiKeys {
    /// Creates an API key of the caller's tenant. Only the result contains the secret of the key; the database stores
    /// its hash.
    ///
    /// # Errors
    /// `forbidden` when the caller lacks the scope `keys:manage`. `invalid-request` with each fault of the request.
    /// `rate-limited` when the tenant has too many keys. `unavailable` when the database fails.
    pub(crate) async fn create(&self, caller: &Caller, request: ApiKeyRequest) -> Outcome<CreatedApiKey> {
        require_scope(caller)?;
        let now = self.0.clock.now();
        let expires_at =
            validate(caller, &request, now).map_err(|faults| Problem::invalid(Slug::InvalidRequest, faults))?;
        let key =
            secret::generate().map_err(|_| Refusal::new(Slug::Internal, "The random number generator failed."))?;
        let row = row(caller, request, &key, expires_at, now)?;
        let tx = self.0.db.begin().await?;
        match api_key::insert(&tx, row.clone(), MAX_KEYS_PER_TENANT, now - COUNTED_AFTER_DELETION).await? {
            Insertion::Inserted => tx.commit().await?,
            Insertion::CreatorDeleted => return Err(AuthError::Key.into()),
            Insertion::TooMany => {
                let detail = format!(
                    "This tenant has {MAX_KEYS_PER_TENANT} API keys, the most allowed; delete one first. A deleted key \
                     counts for a day."
                );
                let refusal = Refusal::new(Slug::RateLimited, detail);
                return Err(refusal.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
        }
        info!(key.id = %row.id, "API key created");
        Ok(CreatedApiKey { info: view(&row)?, key: key.expose().to_owned() })
    }

    /// Lists the API keys of the caller's tenant, newest first.
    ///
    /// # Errors
    /// `forbidden` when the caller lacks the scope `keys:manage`. `unavailable` when the database fails.
    pub(crate) async fn list(&self, caller: &Caller, query: ListQuery) -> Outcome<ApiKeyPage> {
        require_scope(caller)?;
        // one extra row shows whether there is a next page
        let mut rows = api_key::list(&self.0.db, &caller.owner.tenant, query.before, query.limit + 1).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| row.id.to_string());
        Ok(ApiKeyPage { items: rows.iter().map(view).collect::<Outcome<_>>()?, next_cursor })
    }

    /// Deletes an API key of the caller's tenant and the keys that a program created with this key. Ends the sessions
    /// of all these keys.
    ///
    /// # Errors
    /// `forbidden` when the caller lacks the scope `keys:manage`. `not-found` for an unknown key and for a key of
    /// another tenant. `unavailable` when the database fails.
    pub(crate) async fn delete(&self, caller: &Caller, id: ApiKeyId) -> Outcome<()> {
        require_scope(caller)?;
        let tx = self.0.db.begin().await?;
        let ids = api_key::delete(&tx, &caller.owner.tenant, id, self.0.clock.now()).await?;
        tx.commit().await?;
        if ids.is_empty() {
            return Err(not_found());
        }
        for id in &ids {
            info!(key.id = %id, "API key deleted");
        }
        self.0.cache.forget(&ids);
        self.0.open.revoke(&ids);
        let trace = traces::context(&Span::current()).unwrap_or_else(TraceContext::generate).traceparent();
        let deleted = DeletedApiKeys { ids };
        if let Err(e) = self.0.bus.publish_lossy(subject::KEY_DELETED.to_owned(), &trace, &deleted).await {
            debug!(error = %e, "failed to report a deleted API key; other gateways notice within their check interval");
        }
        Ok(())
    }
}

/// Creates the refusal `not-found` for an API key that does not exist or belongs to another tenant.
pub(crate) fn not_found() -> Refusal {
    Refusal::new(Slug::NotFound, "Your tenant has no such API key.")
}

fn require_scope(caller: &Caller) -> Outcome<()> {
    if caller.scopes.iter().any(|scope| scope == MANAGE_SCOPE) {
        return Ok(());
    }
    Err(Refusal::new(Slug::Forbidden, format!("Your token lacks the scope `{MANAGE_SCOPE}`.")))
}

/// Validates a request to create an API key, and returns the expiry time of the new key.
fn validate(
    caller: &Caller,
    request: &ApiKeyRequest,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Vec<FieldError>> {
    let mut faults = Vec::new();
    let length = request.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || request.name.trim().is_empty() {
        faults.push(FieldError::new("/name", format!("expected 1 to {MAX_NAME_CHARS} characters, not only spaces")));
    } else if request.name.chars().any(char::is_control) {
        faults.push(FieldError::new("/name", "expected a text without control characters"));
    }
    if !(1..=MAX_SCOPES).contains(&request.scopes.len()) {
        faults.push(FieldError::new("/scopes", format!("expected 1 to {MAX_SCOPES} scopes")));
    }
    for (index, scope) in request.scopes.iter().enumerate().take(MAX_SCOPES) {
        if let Err(detail) = validate_scope(caller, &request.scopes[..index], scope) {
            faults.push(FieldError::new(json::child("/scopes", &index.to_string()), detail));
        }
    }
    let requested = request.expires_at.map(DateTime::from);
    if requested.is_some_and(|at| at <= now) {
        faults.push(FieldError::new("/expires_at", "expected a time in the future"));
    }
    // a key must not outlive the key that created it
    let limit = caller.expires_at.filter(|_| caller.key.is_some());
    if let (Some(requested), Some(limit)) = (requested, limit)
        && requested > limit
    {
        let detail = format!("must not be after the expiry of the key that you use, {}", Timestamp::from(limit));
        faults.push(FieldError::new("/expires_at", detail));
    }
    if faults.is_empty() { Ok(requested.or(limit)) } else { Err(faults) }
}

fn validate_scope(caller: &Caller, earlier: &[String], scope: &str) -> Result<(), String> {
    // spaces separate the scopes in the claim `scope`, so a scope with a space would be read as two
    if !(1..=MAX_SCOPE_BYTES).contains(&scope.len()) || scope.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("expected 1 to {MAX_SCOPE_BYTES} bytes without spaces and control characters"));
    }
    if earlier.iter().any(|other| other == scope) {
        return Err("the scope occurs twice".into());
    }
    if !caller.may_grant(scope) {
        return Err("you don't have this scope, so you can't give it to a key".into());
    }
    Ok(())
}

fn row(
    caller: &Caller,
    request: ApiKeyRequest,
    key: &Secret,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Outcome<Model> {
    let damaged = || Refusal::new(Slug::Internal, "A generated API key is not valid.");
    let inherited = |name: &String| !TOKEN_CLAIMS.contains(&name.as_str()) && !OWN_CLAIMS.contains(&name.as_str());
    let claims = caller.claims.iter().filter(|(name, _)| inherited(name));
    let claims: Map<String, Value> = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Model {
        id: ApiKeyId::generate().0,
        tenant: caller.owner.tenant.clone(),
        name: request.name,
        secret_hash: secret::hash(key.expose()).ok_or_else(damaged)?,
        scopes: request.scopes.into(),
        claims: claims.into(),
        created_by: caller.owner.user.clone(),
        created_at: Timestamp::from(now).into(),
        expires_at,
        last_used_at: None,
        deleted_at: None,
    })
}

fn view(row: &Model) -> Outcome<ApiKey> {
    Ok(ApiKey {
        id: row.key_id(),
        name: row.name.clone(),
        scopes: row.scope_list()?,
        created_at: row.created_at.into(),
        created_by: row.created_by.clone(),
        expires_at: row.expires_at.map(Timestamp::from),
        last_used_at: row.last_used_at.map(Timestamp::from),
    })
}
