//! What operators ask over NATS: the schedule, and a run now.

use std::sync::Arc;

use entity::job;
use protocol::{
    envelope::Envelope,
    ops::{RunReply, RunRequest, ScheduleReply, ScheduleRequest, ScheduledJob},
    problem::{FieldError, Problem, Slug},
};
use tokio::sync::Notify;
use tracing::info;

use crate::{app::Deps, delivery::requests::Handler, error::NotifierError, ops::enveloped};

/// Answers [`ScheduleRequest`]s.
pub(super) struct Lister {
    pub(super) deps: Deps,
}

/// Answers [`RunRequest`]s.
pub(super) struct Starter {
    pub(super) deps: Deps,
    pub(super) bell: Arc<Notify>,
}

impl Handler for Lister {
    type Question = ScheduleRequest;
    type Answer = Envelope<ScheduleReply>;

    async fn answer(&self, _: ScheduleRequest) -> Result<Self::Answer, NotifierError> {
        let jobs = job::all(&self.deps.db).await?.into_iter().map(ScheduledJob::from).collect();
        Ok(enveloped(ScheduleReply::Schedule { jobs }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        enveloped(ScheduleReply::Refused { problem })
    }
}

impl Handler for Starter {
    type Question = RunRequest;
    type Answer = Envelope<RunReply>;

    async fn answer(&self, RunRequest { name }: RunRequest) -> Result<Self::Answer, NotifierError> {
        if name.is_empty() {
            let missing = FieldError::new("/name", "The name of a scheduled job is missing.");
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![missing])));
        }
        let db = &self.deps.db;
        job::request(db, &name, self.deps.clock.now()).await?;
        let Some(row) = job::find(db, &name).await? else {
            let names: Vec<_> = job::all(db).await?.into_iter().map(|row| row.name).collect();
            let detail = format!("There is no scheduled job of that name. There are: {}.", names.join(", "));
            let unknown =
                Problem { errors: vec![FieldError::new("/name", "unknown")], ..Problem::new(Slug::NotFound, detail) };
            return Ok(Self::refuse(unknown));
        };
        info!(job.name = %name, "an operator wants a scheduled job to run now");
        self.bell.notify_one();
        Ok(enveloped(RunReply::Requested { job: row.into() }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        enveloped(RunReply::Refused { problem })
    }
}
