//! What operators ask over NATS about exports: see them, end them, give dead ones another chance.
//!
//! Who may ask is a matter of NATS permissions on `sluice.v1.ops.>`. Whatever is asked may be asked again: the second time
//! changes nothing. What runs by the clock is asked in [`crate::schedule`]; an exporter is drained by itself.

mod cancel;
mod dead;
mod exporters;
mod exports;
mod letters;
mod requeue;
mod summary;

use std::sync::Arc;

use async_nats::service::Service;
use platform::{catalog::Catalog, lifecycle::Lifecycle};
use protocol::{
    envelope::{Envelope, TraceContext},
    id::ExportId,
    problem::{FieldError, Problem, Slug},
    subject,
};
use uuid::Uuid;

use self::{
    cancel::Canceler, dead::DeadLister, exporters::ExporterLister, exports::Finder, exports::Lister, requeue::Requeuer,
};
use crate::{
    app::Deps,
    config::NotifierConfig,
    delivery::requests::{self, Handler},
    error::NotifierError,
    settle::Settler,
};

/// Answers operators on all subjects of this kind.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn start(
    config: &NotifierConfig,
    deps: &Deps,
    settler: &Arc<Settler>,
    catalog: &Catalog,
    service: &Service,
    life: &Lifecycle,
) -> Result<(), NotifierError> {
    let door = Door { service, limit: config.delivery_concurrency, life };
    let deps = || deps.clone();
    door.open("exports", subject::OPS_EXPORTS, Lister { deps: deps() }).await?;
    door.open("export", subject::OPS_EXPORT, Finder { deps: deps() }).await?;
    door.open("cancel", subject::OPS_CANCEL, Canceler { deps: deps(), settler: Arc::clone(settler) }).await?;
    door.open("dead", subject::OPS_DEAD, DeadLister { deps: deps() }).await?;
    door.open("requeue", subject::OPS_REQUEUE, Requeuer { deps: deps() }).await?;
    door.open("exporters", subject::OPS_EXPORTERS, ExporterLister { catalog: catalog.clone() }).await
}

struct Door<'a> {
    service: &'a Service,
    limit: usize,
    life: &'a Lifecycle,
}

impl Door<'_> {
    async fn open<H: Handler>(
        &self,
        name: &'static str,
        subject: &'static str,
        handler: H,
    ) -> Result<(), NotifierError> {
        let endpoint = requests::endpoint(self.service, name, subject).await?;
        let answering = requests::answer(endpoint, Arc::new(handler), self.limit, self.life.clone());
        self.life.spawn_critical("ops", answering);
        Ok(())
    }
}

pub(crate) fn enveloped<T>(body: T) -> Envelope<T> {
    Envelope::new(Uuid::now_v7().to_string(), TraceContext::generate().traceparent(), body)
}

/// Counts what operators do.
fn count(endpoint: &'static str, done: bool) {
    let result = if done { "done" } else { "refused" };
    metrics::counter!("sluice_ops_requests_total", "endpoint" => endpoint, "result" => result).increment(1);
}

fn no_such(id: ExportId) -> Problem {
    let errors = vec![FieldError::new("/export_id", "unknown")];
    Problem { errors, ..Problem::new(Slug::NotFound, format!("There is no export {id}.")) }
}

/// How many to list: what was asked for, or else what is usual.
///
/// # Errors
/// When that is none or too many.
fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u64, Problem> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit.into());
    }
    let fault = FieldError::new("/limit", format!("The limit is from 1 to {most}."));
    Err(Problem::invalid(Slug::InvalidRequest, vec![fault]))
}
