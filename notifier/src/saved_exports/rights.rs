//! The rights of a scheduled run: those that its owner has now, and never wider than when the schedule was saved.

use chrono::{DateTime, Utc};
use entity::{api_key, schedule, user_rights};
use protocol::{access::limit_rights, api_key::ApiKeyId};
use serde_json::{Map, Value};

use super::Scheduler;
use crate::error::NotifierError;

/// The claims with which a run may start, or the reason for the pause of its schedule, as a text for its owner.
pub(super) type Rights = Result<Map<String, Value>, String>;

impl Scheduler {
    /// Returns the claims of the owner's last valid token, or of the API key that owns the schedule.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn current_claims(
        &self,
        row: &schedule::Model,
        now: DateTime<Utc>,
    ) -> Result<Rights, NotifierError> {
        if let Some(id) = ApiKeyId::from_subject(&row.user_id) {
            let gone = "The API key that owns the schedule was deleted or has expired.";
            let Some(key) = api_key::find_working(&self.deps.db, id, now).await? else { return Ok(Err(gone.into())) };
            return Ok(Ok(key.acting_claims()?));
        }
        let days = self.rights_max_age.num_days();
        let Some(known) = user_rights::find(&self.deps.db, &row.owner()).await? else {
            return Ok(Err("Your current rights are unknown. Sign in, and enable the schedule again.".into()));
        };
        if now - known.seen_at > self.rights_max_age {
            let reason = format!("You have not signed in for {days} days. Sign in, and enable the schedule again.");
            return Ok(Err(reason));
        }
        let claims = known.claims.as_object().cloned().unwrap_or_default();
        Ok(Ok(claims))
    }
}

/// Limits current claims to those with which the schedule was saved. `policy_claims` names the claims that decide which
/// rows the owner sees; None if they are unknown.
pub(super) fn limited(
    current: &Map<String, Value>,
    saved: &Map<String, Value>,
    policy_claims: Option<&[String]>,
) -> Rights {
    limit_rights(current, saved, policy_claims).map_err(|claim| {
        format!(
            "The claim `{claim}` of your token has changed since the schedule was saved, so other rows could be exported. \
             Check the rows, and save the schedule again."
        )
    })
}
