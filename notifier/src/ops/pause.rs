//! Pauses and resumes a tenant or a user at the request of an operator, and lists the paused ones.

use entity::{operator_act, pause};
use protocol::{
    envelope::Envelope,
    ops::{OperatorAct, PauseReply, PauseRequest, PausesReply, PausesRequest, ResumeReply, ResumeRequest},
    problem::{FieldError, Problem, Slug},
};
use sea_orm::TransactionTrait;
use tracing::info;

use super::{
    acts::{self, checked_reason},
    replies::{count_request, has_nul},
};
use crate::{
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
    settle::events,
};

/// The maximum length of a tenant and of a user, in bytes. Tokens have the same limit.
const MAX_OWNER_PART_BYTES: usize = 255;
/// The largest number of pauses in a reply.
const MAX_PAUSES: u64 = 1000;

/// Answers each [`PauseRequest`]: the exports of the tenant or user wait from then on.
pub(super) struct PauseHandler {
    pub(super) deps: Deps,
}

/// Answers each [`ResumeRequest`]: the exports of the tenant or user are dispatched again.
pub(super) struct ResumeHandler {
    pub(super) deps: Deps,
}

/// Answers each [`PausesRequest`] with the paused tenants and users.
pub(super) struct PausesHandler {
    pub(super) deps: Deps,
}

impl Handler for PauseHandler {
    type Request = PauseRequest;
    type Reply = Envelope<PauseReply>;

    async fn handle(&self, request: PauseRequest) -> Result<Self::Reply, NotifierError> {
        let PauseRequest { tenant, user, reason, operator } = request;
        let mut faults = owner_faults(&tenant, user.as_deref());
        let reason = match checked_reason(Some(&reason)) {
            Ok(Some(reason)) => reason,
            Ok(None) => {
                faults.push(FieldError::new("/reason", "the reason is missing"));
                String::new()
            }
            Err(fault) => {
                faults.push(fault);
                String::new()
            }
        };
        if !faults.is_empty() {
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, faults)));
        }
        let (now, operator) = (self.deps.clock.now(), acts::name(operator));
        let row = pause::Model {
            tenant: tenant.clone(),
            user_id: user.clone().unwrap_or_default(),
            reason: reason.clone(),
            paused_by: operator.clone(),
            paused_at: now,
        };
        let tx = self.deps.db.begin().await?;
        let changed = pause::pause(&tx, row).await?;
        if changed {
            let act = OperatorAct {
                tenant: Some(tenant.clone()),
                user: user.clone(),
                reason: Some(reason),
                ..acts::act("pause", operator.clone(), now)
            };
            operator_act::record(&tx, act).await?;
        }
        let found = pause::find(&tx, &tenant, user.as_deref()).await?;
        tx.commit().await?;
        // a concurrent request may have resumed the owner before this transaction read the row
        let Some(found) = found else { return Err(NotifierError::Timeout("pausing an owner")) };
        if changed {
            info!(operator, pause.tenant = tenant, pause.user = user, "operator paused exports");
        }
        count_request("pause", true);
        Ok(enveloped(PauseReply::Paused { pause: found.into(), changed }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("pause", false);
        enveloped(PauseReply::Refused { problem })
    }
}

impl Handler for ResumeHandler {
    type Request = ResumeRequest;
    type Reply = Envelope<ResumeReply>;

    async fn handle(&self, request: ResumeRequest) -> Result<Self::Reply, NotifierError> {
        let ResumeRequest { tenant, user, reason, operator } = request;
        let mut faults = owner_faults(&tenant, user.as_deref());
        let reason = checked_reason(reason.as_deref()).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        if !faults.is_empty() {
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, faults)));
        }
        let (now, operator) = (self.deps.clock.now(), acts::name(operator));
        let tx = self.deps.db.begin().await?;
        let changed = pause::resume(&tx, &tenant, user.as_deref()).await?;
        if changed {
            let act = OperatorAct {
                tenant: Some(tenant.clone()),
                user: user.clone(),
                reason,
                ..acts::act("resume", operator.clone(), now)
            };
            operator_act::record(&tx, act).await?;
        }
        let still_paused = if user.is_some() { pause::find(&tx, &tenant, None).await? } else { None };
        tx.commit().await?;
        if changed {
            info!(operator, pause.tenant = tenant, pause.user = user, "operator resumed exports");
            events::hint_dispatcher(&self.deps.bus).await;
        }
        count_request("resume", true);
        let still_paused = still_paused.map(Into::into);
        Ok(enveloped(ResumeReply::Resumed { tenant, user, changed, still_paused }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("resume", false);
        enveloped(ResumeReply::Refused { problem })
    }
}

impl Handler for PausesHandler {
    type Request = PausesRequest;
    type Reply = Envelope<PausesReply>;

    async fn handle(&self, _: PausesRequest) -> Result<Self::Reply, NotifierError> {
        let items = pause::list(&self.deps.db, MAX_PAUSES).await?.into_iter().map(Into::into).collect();
        count_request("pauses", true);
        Ok(enveloped(PausesReply::Pauses { items }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("pauses", false);
        enveloped(PausesReply::Refused { problem })
    }
}

/// Returns the faults of a tenant and a user. An unknown tenant or user is no fault, because they may appear later.
fn owner_faults(tenant: &str, user: Option<&str>) -> Vec<FieldError> {
    let named = [("/tenant", Some(tenant)), ("/user", user)];
    let invalid = named
        .into_iter()
        .filter_map(|(pointer, name)| Some((pointer, name?)))
        .filter(|(_, name)| !(1..=MAX_OWNER_PART_BYTES).contains(&name.len()) || has_nul(Some(name)));
    let detail = format!("expected 1 to {MAX_OWNER_PART_BYTES} bytes without the character U+0000");
    invalid.map(|(pointer, _)| FieldError::new(pointer, detail.clone())).collect()
}
