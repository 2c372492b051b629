//! What operators may do over the public API: read the state of the installation, find exports of any owner and read
//! their stories, cancel and retry exports, pause and resume owners, and drain exporters.
//!
//! A notifier or an exporter performs each request. The gateway checks the scope, names the operator, and forwards the
//! request over NATS, so that `sluice ops` and the page do the same.

mod live;

use chrono::{DateTime, Utc};
use entity::operator_act;
use platform::{
    bus::{Bus, BusError},
    clock::SharedClock,
};
use protocol::{
    envelope::Envelope,
    id::ExportId,
    operate::{
        DeadLetterPage, DrainResult, ExportSummaryPage, OPERATE_SCOPE, OwnerActRequest, PauseResult, ResumeResult,
        RetryResult,
    },
    ops::{
        CancelReply, CancelRequest, DeadLettersReply, DeadLettersRequest, DrainReply, DrainRequest, ExportLookup,
        ExportStory, ExportSummary, ExportsReply, ExportsRequest, MAX_REASON_CHARS, OperatorAct, Overview,
        OverviewReply, OverviewRequest, PauseReply, PauseRequest, RequeueReply, RequeueRequest, ResumeReply,
        ResumeRequest, StoryReply,
    },
    problem::{FieldError, Problem, Slug},
    subject,
};
use sea_orm::DatabaseConnection;
use serde::{Serialize, de::DeserializeOwned};
use tracing::{info, warn};

pub(crate) use self::live::{Live, StateReceiver};
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
};

/// Performs the requests of operators.
#[derive(Clone, Debug)]
pub(crate) struct Operate {
    bus: Bus,
    db: DatabaseConnection,
    clock: SharedClock,
    pub(crate) live: Live,
}

/// A caller with the scope `sluice:operate`.
#[derive(Clone, Debug)]
pub(crate) struct Operator(String);

impl Operator {
    /// Returns the operator, if the caller is one.
    ///
    /// # Errors
    /// `forbidden` for every other caller.
    pub(crate) fn from_caller(caller: &Caller) -> Result<Self, Problem> {
        if caller.may_operate() {
            return Ok(Self(format!("{} ({})", caller.owner.user, caller.owner.tenant)));
        }
        Err(Problem::new(Slug::Forbidden, format!("Your token lacks the scope `{OPERATE_SCOPE}`.")))
    }

    fn name(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

impl Operate {
    pub(crate) fn new(bus: Bus, db: DatabaseConnection, clock: SharedClock) -> Self {
        let live = Live::new(bus.clone());
        Self { bus, db, clock, live }
    }

    pub(crate) async fn overview(&self) -> Outcome<Overview> {
        match request(&self.bus, subject::OPS_OVERVIEW, &OverviewRequest {}).await? {
            OverviewReply::Overview { overview } => Ok(*overview),
            OverviewReply::Refused { problem } => Err(problem.into()),
        }
    }

    pub(crate) async fn exports(&self, query: &ExportsRequest) -> Outcome<ExportSummaryPage> {
        match request(&self.bus, subject::OPS_EXPORTS, query).await? {
            ExportsReply::Exports { items, next_cursor } => {
                Ok(ExportSummaryPage { items, next_cursor: next_cursor.map(|id| id.to_string()) })
            }
            ExportsReply::Refused { problem } => Err(problem.into()),
        }
    }

    pub(crate) async fn story(&self, export_id: ExportId) -> Outcome<ExportStory> {
        match request(&self.bus, subject::OPS_STORY, &ExportLookup { export_id }).await? {
            StoryReply::Story { story } => Ok(*story),
            StoryReply::Refused { problem } => Err(problem.into()),
        }
    }

    pub(crate) async fn dead_letters(&self, query: &DeadLettersRequest) -> Outcome<DeadLetterPage> {
        match request(&self.bus, subject::OPS_DEAD, query).await? {
            DeadLettersReply::DeadLetters { items, next_cursor, .. } => {
                Ok(DeadLetterPage { items, next_cursor: next_cursor.map(|sequence| sequence.to_string()) })
            }
            DeadLettersReply::Refused { problem } => Err(problem.into()),
        }
    }

    /// Requests the cancellation of an export. An ended export stays as it is.
    pub(crate) async fn cancel(&self, by: &Operator, export_id: ExportId, reason: &str) -> Outcome<ExportSummary> {
        let cancel = CancelRequest { export_id, operator: by.name(), reason: Some(checked(reason)?) };
        match request(&self.bus, subject::OPS_CANCEL, &cancel).await? {
            CancelReply::Requested { export } | CancelReply::Ended { export } => Ok(export),
            CancelReply::Refused { problem } => Err(problem.into()),
        }
    }

    /// Runs a failed export again as a new export of its owner.
    pub(crate) async fn retry(&self, by: &Operator, export_id: ExportId, reason: &str) -> Outcome<RetryResult> {
        let requeue = RequeueRequest { export_id, operator: by.name(), reason: Some(checked(reason)?) };
        match request(&self.bus, subject::OPS_REQUEUE, &requeue).await? {
            RequeueReply::Requeued { export, failed_export_id } => {
                Ok(RetryResult { export: *export, failed_export_id: Some(failed_export_id) })
            }
            RequeueReply::OutcomeRequeued { export } => Ok(RetryResult { export: *export, failed_export_id: None }),
            RequeueReply::Refused { problem } => Err(problem.into()),
        }
    }

    pub(crate) async fn pause(&self, by: &Operator, body: OwnerActRequest) -> Outcome<PauseResult> {
        let OwnerActRequest { tenant, user, reason } = body;
        let pause = PauseRequest { tenant, user, reason: checked(&reason)?, operator: by.name() };
        match request(&self.bus, subject::OPS_PAUSE, &pause).await? {
            PauseReply::Paused { pause, changed } => Ok(PauseResult { pause, changed }),
            PauseReply::Refused { problem } => Err(problem.into()),
        }
    }

    pub(crate) async fn resume(&self, by: &Operator, body: OwnerActRequest) -> Outcome<ResumeResult> {
        let OwnerActRequest { tenant, user, reason } = body;
        let resume = ResumeRequest { tenant, user, reason: Some(checked(&reason)?), operator: by.name() };
        match request(&self.bus, subject::OPS_RESUME, &resume).await? {
            ResumeReply::Resumed { changed, still_paused, .. } => Ok(ResumeResult { changed, still_paused }),
            ResumeReply::Refused { problem } => Err(problem.into()),
        }
    }

    /// Begins or ends the drain of an exporter, and records the act.
    pub(crate) async fn drain(
        &self,
        by: &Operator,
        instance: &str,
        begins: bool,
        reason: &str,
    ) -> Outcome<DrainResult> {
        let reason = checked(reason)?;
        let (subject, action) =
            if begins { (subject::ops_drain(instance), "drain") } else { (subject::ops_undrain(instance), "undrain") };
        let reply = self.bus.request::<_, Envelope<DrainReply>>(&subject, &DrainRequest {}).await;
        let result = match reply.map(|envelope| envelope.body) {
            Ok(DrainReply::Exporter { instance, draining, running }) => DrainResult { instance, draining, running },
            Ok(DrainReply::Refused { problem }) => return Err(problem.into()),
            // only this exporter answers requests on the subject
            Err(BusError::Request { .. }) => {
                return Err(Refusal::new(Slug::NotFound, "No exporter of this name answers."));
            }
            Err(e) => return Err(e.into()),
        };
        let act = act(action, &by.0, &result.instance, reason, self.clock.now());
        info!(operator = by.0, exporter = result.instance, action, "operator changed the drain of an exporter");
        if let Err(e) = operator_act::record(&self.db, act).await {
            // the exporter has changed already, so the operator must receive its state
            warn!(error = %e, "failed to record the act of an operator");
        }
        Ok(result)
    }
}

fn act(action: &str, operator: &str, exporter: &str, reason: String, at: DateTime<Utc>) -> OperatorAct {
    OperatorAct {
        at: at.into(),
        operator: operator.to_owned(),
        action: action.to_owned(),
        tenant: None,
        user: None,
        export_id: None,
        exporter: Some(exporter.to_owned()),
        reason: Some(reason),
    }
}

/// Checks that an operator gave a reason, and returns it without spaces at its ends.
fn checked(reason: &str) -> Outcome<String> {
    let reason = reason.trim();
    if (1..=MAX_REASON_CHARS).contains(&reason.chars().count()) && !reason.contains('\0') {
        return Ok(reason.to_owned());
    }
    let detail = format!("expected 1 to {MAX_REASON_CHARS} characters without U+0000");
    Err(Problem::invalid(Slug::InvalidRequest, vec![FieldError::new("/reason", detail)]).into())
}

/// Sends a request to a notifier, and returns the body of its reply.
async fn request<Q: Serialize, A: DeserializeOwned>(bus: &Bus, subject: &str, request: &Q) -> Result<A, BusError> {
    Ok(bus.request::<_, Envelope<A>>(subject, request).await?.body)
}
