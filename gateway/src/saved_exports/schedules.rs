//! Stores the schedule of a saved export together with the rights of its owner, and shows the moments of a schedule.

use chrono::{DateTime, Utc};
use entity::{schedule, user_rights};
use platform::cron::{CronError, CronSchedule};
use protocol::{
    problem::{FieldError, Problem, Slug},
    saved_export::{SavedExportId, SchedulePreview, ScheduleRequest},
};
use sea_orm::ConnectionTrait;

use super::SavedExports;
use crate::{auth::Caller, error::Outcome};

/// The number of moments that a preview shows.
const SHOWN_MOMENTS: usize = 5;
/// The number of days of a week.
const DAYS_PER_WEEK: u64 = 7;

impl SavedExports {
    /// Stores the schedule of a saved export of the caller, in place of an earlier one. Its runs never have wider rights
    /// than the caller has now. An enabled schedule is not paused, and its next moment lies in the future. Returns the
    /// stored schedule; None without one.
    ///
    /// # Errors
    /// `invalid-request` for a schedule that can't be read; `unavailable` when the database fails.
    pub(super) async fn put_schedule(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
        id: SavedExportId,
        request: Option<&ScheduleRequest>,
        now: DateTime<Utc>,
    ) -> Outcome<Option<schedule::Model>> {
        let Some(request) = request else {
            schedule::delete(tx, id).await?;
            return Ok(None);
        };
        let moments = parse(request, "/schedule")?;
        let row = schedule::Model {
            saved_export_id: id.0,
            tenant: caller.owner.tenant.clone(),
            user_id: caller.owner.user.clone(),
            cron: request.cron.trim().to_owned(),
            zone: request.zone.clone(),
            enabled: request.enabled,
            only_if_changed: request.only_if_changed,
            claims: caller.claims.clone().into(),
            next_run_at: moments.next(now).filter(|_| request.enabled),
            paused_reason: None,
            pause_notified: false,
            failures: 0,
            last_content_sha256: None,
        };
        schedule::put(tx, row.clone()).await?;
        // the rights of an API key are those in its row
        if caller.key.is_none() {
            user_rights::keep(tx, &caller.verified_token(now)).await?;
        }
        Ok(Some(row))
    }

    /// Shows the next moments of a schedule, and compares its runs with the credits that the caller gains.
    ///
    /// # Errors
    /// `invalid-request` for a schedule that can't be read.
    pub(crate) fn preview(&self, cron: &str, zone: &str) -> Outcome<SchedulePreview> {
        let request = ScheduleRequest { cron: cron.into(), zone: zone.into(), enabled: true, only_if_changed: false };
        let (moments, now) = (parse(&request, "")?, self.clock.now());
        Ok(SchedulePreview {
            moments: moments.upcoming(now, SHOWN_MOMENTS).into_iter().map(Into::into).collect(),
            runs_per_week: moments.moments_per_week(now),
            credits_per_week: self.credits.policy().daily_grant.unsigned_abs() * DAYS_PER_WEEK,
        })
    }
}

/// Reads a schedule. `pointer` is that of the schedule in the request.
///
/// # Errors
/// `invalid-request` that names the member.
pub(super) fn parse(request: &ScheduleRequest, pointer: &str) -> Outcome<CronSchedule> {
    CronSchedule::parse(&request.cron, &request.zone).map_err(|e| {
        let member = match e {
            CronError::Zone => "zone",
            CronError::Expression(_) | CronError::Never => "cron",
        };
        let fault = FieldError::new(format!("{pointer}/{member}"), e.to_string());
        Problem::invalid(Slug::InvalidRequest, vec![fault]).into()
    })
}
