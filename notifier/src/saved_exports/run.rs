//! Decides what becomes of a due moment, and starts its export.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{export, ledger, saved_export, saved_export_run, schedule};
use platform::{
    catalog::{Offer, ValidRequest, authorize_and_validate},
    cron::CronSchedule,
};
use protocol::{
    access::scopes_of,
    envelope::{Envelope, Outcome, OutcomeResult, TraceContext},
    export::{ExportRequest, Status},
    id::ExportId,
    problem::{Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::{DatabaseTransaction, EntityTrait, TransactionTrait};
use serde_json::{Map, Value, json};
use tracing::info;

use super::{
    Scheduler,
    rights::{Rights, limited},
};
use crate::{credit_counters::count_grants, error::NotifierError, settle::events};

/// The time for which a due moment waits for a dataset that no exporter offers. It counts from the moment, and from the
/// start of the notifier, whichever is later.
const DATASET_GRACE: Duration = Duration::from_secs(15 * 60);
/// The time before now from which on missed moments are recorded.
const MAX_CATCH_UP: TimeDelta = TimeDelta::days(7);
/// The maximum number of missed moments that are recorded at once; the newest ones.
const MAX_MISSED: usize = 100;
/// The maximum number of unfinished exports of a user. At this number, a run fails instead of waiting behind them.
const MAX_UNFINISHED: u64 = 100;

/// What becomes of a due moment.
enum Decision {
    /// Its export starts with this row.
    Start(Box<export::Model>),
    /// Its export fails at once, with this problem.
    Fail(Box<export::Model>, Problem),
    /// The schedule pauses for this reason.
    Pause(String),
    /// The moment stays due.
    Wait,
}

/// The moments of a schedule that have come.
struct Moments {
    /// The newest one, which has a run.
    newest: DateTime<Utc>,
    /// Earlier ones, oldest first, which are missed.
    missed: Vec<DateTime<Utc>>,
    /// The first one in the future.
    next: Option<DateTime<Utc>>,
}

impl Scheduler {
    /// Starts the export of the newest due moment, and records earlier ones as missed.
    ///
    /// # Errors
    /// When the database or NATS fails. The moment stays due.
    pub(super) async fn start_due(&self, row: &schedule::Model) -> Result<(), NotifierError> {
        let now = self.deps.clock.now();
        let Some(due) = row.next_run_at else { return Ok(()) };
        let saved = saved_export::Entity::find_by_id(row.saved_export_id).one(&self.deps.db).await?;
        let Some(saved) = saved.filter(|saved| saved.deleted_at.is_none()) else {
            return Ok(schedule::delete(&self.deps.db, row.id()).await?);
        };
        let schedule = match CronSchedule::parse(&row.cron, &row.zone) {
            Ok(schedule) => schedule,
            // an update of the zone database may remove a zone
            Err(e) => return self.pause(row, &format!("The schedule can't be read: {e}.")).await,
        };
        let moments = moments(&schedule, due, now);
        match self.decide(row, &saved, moments.newest, now).await? {
            Decision::Wait => Ok(()),
            Decision::Pause(reason) => self.pause(row, &reason).await,
            Decision::Start(export) => self.commit(row, &moments, *export, None, now).await,
            Decision::Fail(export, problem) => self.commit(row, &moments, *export, Some(problem), now).await,
        }
    }

    async fn pause(&self, row: &schedule::Model, reason: &str) -> Result<(), NotifierError> {
        if schedule::pause(&self.deps.db, row, reason).await? {
            count("paused");
            info!(saved_export.id = %row.saved_export_id, reason, "schedule paused");
        }
        Ok(())
    }

    async fn decide(
        &self,
        row: &schedule::Model,
        saved: &saved_export::Model,
        moment: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Decision, NotifierError> {
        let request = saved.export_request()?;
        let offer = self.catalog.find(&request.dataset);
        let policy_claims = offer.and_then(|offer| offer.dataset.access.policy_claims);
        let rights: Rights = match self.current_claims(row, now).await? {
            Ok(current) => limited(&current, &row.claim_map()?, policy_claims.as_deref()),
            Err(reason) => Err(reason),
        };
        let claims = match rights {
            Ok(claims) => claims,
            Err(reason) => return Ok(Decision::Pause(reason)),
        };
        let scopes = scopes_of(&claims);
        let problem = match authorize_and_validate(&self.catalog, &scopes, &request, now) {
            Ok((offer, valid)) => {
                return Ok(Decision::Start(Box::new(started(row, &offer, valid, &request, claims, now))));
            }
            Err(problem) => problem,
        };
        let waits =
            self.started.elapsed() < DATASET_GRACE || (now - moment).to_std().is_ok_and(|late| late < DATASET_GRACE);
        Ok(match problem.slug() {
            Slug::Forbidden => Decision::Pause(problem.detail),
            Slug::Unavailable => Decision::Wait,
            Slug::UnknownDataset if waits => Decision::Wait,
            _ => Decision::Fail(Box::new(refused(row, &request, claims, now)), problem),
        })
    }

    /// Takes the moments, records them, and inserts the export in one transaction. Without a problem the export holds
    /// its credits; an export that can't hold them fails too.
    async fn commit(
        &self,
        row: &schedule::Model,
        moments: &Moments,
        export: export::Model,
        problem: Option<Problem>,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let (owner, id) = (row.owner(), export.export_id());
        let tx = self.deps.db.begin().await?;
        if !schedule::advance(&tx, row, moments.next).await? {
            tx.rollback().await?;
            return Ok(());
        }
        for moment in &moments.missed {
            saved_export_run::record_missed(&tx, row.id(), &owner, *moment, now).await?;
        }
        if !saved_export_run::record_moment(&tx, row.id(), &owner, id, moments.newest, now).await? {
            // the moment had its run before the clock was set back or the schedule was saved again
            return Ok(tx.commit().await?);
        }
        let accrued = ledger::open_and_accrue(&tx, &owner, &self.deps.credit_policy, now).await?;
        let problem = match problem {
            Some(problem) => Some(problem),
            None => hold(&tx, &export, accrued.balance.balance, now).await?,
        };
        let export = match &problem {
            None => export,
            // a failed export that held nothing costs nothing
            Some(problem) => export::Model {
                status: Status::Failed.as_str().into(),
                credits: 0,
                problem: Some(json!(problem)),
                ..export
            },
        };
        export::insert(&tx, export.clone()).await?;
        if problem.is_some() {
            schedule::record_failure(&tx, row.id()).await?;
        }
        tx.commit().await?;
        count_grants(accrued.granted);
        metrics::counter!("sluice_notifier_scheduled_runs_total", "result" => "missed")
            .increment(moments.missed.len() as u64);
        count(if problem.is_some() { "failed" } else { "started" });
        info!(saved_export.id = %row.saved_export_id, export.id = %id, export.scheduled_for = %moments.newest, "scheduled export created");
        match problem {
            None => events::wake_dispatcher(&self.deps.bus, &export).await,
            Some(problem) => self.report_failure(&export, problem).await?,
        }
        Ok(())
    }

    /// Publishes the outcome of an export that failed at its start, so that a notifier publishes the event of its end.
    async fn report_failure(&self, export: &export::Model, problem: Problem) -> Result<(), NotifierError> {
        let id = export.export_id();
        let message_id = format!("{id}:refused");
        let outcome = Outcome { export_id: id, result: OutcomeResult::Failed { attempt: 0, problem } };
        let message = Envelope::new(&message_id, &export.traceparent, outcome);
        Ok(self.deps.bus.publish_durable(subject::outcome(id), &message_id, &message).await?)
    }
}

/// Holds the credits of an export. Returns the problem if its owner has too few credits or too many exports.
async fn hold(
    tx: &DatabaseTransaction,
    export: &export::Model,
    balance: i64,
    now: DateTime<Utc>,
) -> Result<Option<Problem>, NotifierError> {
    let (owner, price) = (export.owner(), export.credits);
    if export::count_unfinished(tx, &owner).await? >= MAX_UNFINISHED {
        let detail = format!("You have {MAX_UNFINISHED} unfinished exports, so the schedule starts no further one.");
        return Ok(Some(Problem::new(Slug::TooManyExports, detail)));
    }
    if ledger::hold(tx, &owner, export.export_id(), price, now).await? {
        return Ok(None);
    }
    let detail = format!("The export costs {price} credits, and you have {balance}.");
    Ok(Some(Problem::new(Slug::CreditsExhausted, detail)))
}

/// Splits the moments from `due` on.
fn moments(schedule: &CronSchedule, due: DateTime<Utc>, now: DateTime<Utc>) -> Moments {
    let first = Some(now - MAX_CATCH_UP).filter(|oldest| *oldest > due).and_then(|oldest| schedule.next(oldest));
    let mut passed = schedule.passed(first.unwrap_or(due), now);
    let newest = passed.pop().unwrap_or(due);
    let missed = passed.split_off(passed.len().saturating_sub(MAX_MISSED));
    Moments { newest, missed, next: schedule.next(now) }
}

/// The row of a new export. No other request joins it, because its end depends on its schedule.
fn started(
    row: &schedule::Model,
    offer: &Offer,
    valid: ValidRequest,
    request: &ExportRequest,
    claims: Map<String, Value>,
    now: DateTime<Utc>,
) -> export::Model {
    export::Model {
        dataset: request.dataset.clone(),
        template: valid.template,
        format: valid.format,
        compression: valid.compression,
        filter: valid.filter,
        columns: json!(valid.columns),
        params: json!(valid.params),
        claims: claims.into(),
        pool: offer.pool.clone(),
        // no user waits for this export
        lane: Lane::Bulk.as_str().into(),
        credits: offer.dataset.info.credits.into(),
        retention_seconds: offer.dataset.retention_seconds.cast_signed(),
        traceparent: TraceContext::generate().traceparent(),
        wants_content_digest: row.only_if_changed,
        ..export::Model::queued(ExportId::generate(), &row.owner(), now)
    }
}

/// The row of an export whose request is no longer valid.
fn refused(
    row: &schedule::Model,
    request: &ExportRequest,
    claims: Map<String, Value>,
    now: DateTime<Utc>,
) -> export::Model {
    let queued = export::Model::queued(ExportId::generate(), &row.owner(), now);
    let or = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    export::Model {
        dataset: request.dataset.clone(),
        template: or(&request.template, &queued.template),
        format: or(&request.format, &queued.format),
        compression: or(&request.compression, &queued.compression),
        filter: request.filter.clone().unwrap_or_else(|| json!({})),
        columns: json!(request.columns.clone().unwrap_or_default()),
        params: json!(request.params.clone().unwrap_or_default()),
        claims: claims.into(),
        traceparent: TraceContext::generate().traceparent(),
        ..queued
    }
}

fn count(result: &'static str) {
    metrics::counter!("sluice_notifier_scheduled_runs_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn after_downtime_the_newest_moment_runs_and_the_others_are_missed() {
        let daily = CronSchedule::parse("0 6 * * *", "UTC").unwrap();
        let now = at("2026-11-22T07:00:00Z");
        for (due, newest, missed) in [
            ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z", 0),
            ("2026-11-19T06:00:00Z", "2026-11-22T06:00:00Z", 3),
            // moments older than a week are not listed
            ("2026-01-01T06:00:00Z", "2026-11-22T06:00:00Z", 6),
        ] {
            let found = moments(&daily, at(due), now);
            assert_eq!((found.newest, found.missed.len()), (at(newest), missed), "{due}");
            assert_eq!(found.next, Some(at("2026-11-23T06:00:00Z")));
        }
        // the only moment is older than a week
        let monthly = CronSchedule::parse("0 6 1 * *", "UTC").unwrap();
        let found = moments(&monthly, at("2026-11-01T06:00:00Z"), now);
        assert_eq!((found.newest, found.missed), (at("2026-11-01T06:00:00Z"), vec![]));
        let minutes = CronSchedule::parse("* * * * *", "UTC").unwrap();
        let found = moments(&minutes, at("2026-11-19T06:00:00Z"), now);
        assert_eq!((found.newest, found.missed.len()), (now, MAX_MISSED));
        assert_eq!(found.missed.last(), Some(&at("2026-11-22T06:59:00Z")));
    }
}
