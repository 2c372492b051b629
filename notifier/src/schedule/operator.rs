//! Answers requests of operators over NATS to list the scheduled jobs or to start one.

use std::sync::Arc;

use entity::scheduled_job;
use protocol::{
    envelope::Envelope,
    ops::{RunReply, RunRequest, ScheduleReply, ScheduleRequest, ScheduledJob},
    problem::{FieldError, Problem, Slug},
};
use tokio::sync::Notify;
use tracing::info;

use crate::{
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// Answers each [`ScheduleRequest`] with all scheduled jobs.
pub(super) struct ScheduleHandler {
    pub(super) deps: Deps,
}

/// Answers each [`RunRequest`]: records the request in the row of the scheduled job, and wakes the schedule poller.
pub(super) struct RunHandler {
    pub(super) deps: Deps,
    pub(super) wake_up: Arc<Notify>,
}

impl Handler for ScheduleHandler {
    type Request = ScheduleRequest;
    type Reply = Envelope<ScheduleReply>;

    async fn handle(&self, _: ScheduleRequest) -> Result<Self::Reply, NotifierError> {
        let jobs = scheduled_job::all(&self.deps.db).await?.into_iter().map(ScheduledJob::from).collect();
        Ok(enveloped(ScheduleReply::Schedule { jobs }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        enveloped(ScheduleReply::Refused { problem })
    }
}

impl Handler for RunHandler {
    type Request = RunRequest;
    type Reply = Envelope<RunReply>;

    async fn handle(&self, RunRequest { name }: RunRequest) -> Result<Self::Reply, NotifierError> {
        if name.is_empty() {
            let missing = FieldError::new("/name", "The name of a scheduled job is missing.");
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![missing])));
        }
        let db = &self.deps.db;
        scheduled_job::request(db, &name, self.deps.clock.now()).await?;
        let Some(row) = scheduled_job::find(db, &name).await? else {
            let names: Vec<_> = scheduled_job::all(db).await?.into_iter().map(|row| row.name).collect();
            let detail =
                format!("There is no scheduled job of that name. The scheduled jobs are: {}.", names.join(", "));
            let unknown =
                Problem { errors: vec![FieldError::new("/name", "unknown")], ..Problem::new(Slug::NotFound, detail) };
            return Ok(Self::refuse(unknown));
        };
        info!(job.name = %name, "operator requested a run of a scheduled job");
        self.wake_up.notify_one();
        Ok(enveloped(RunReply::Requested { job: row.into() }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        enveloped(RunReply::Refused { problem })
    }
}
